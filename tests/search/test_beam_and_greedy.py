"""Greedy and beam search on tables of log-probabilities, compared with simple implementations."""

import math
import random
import re
from collections.abc import Callable, Sequence

import pytest
import torch
from table_stepper import (
    FORBIDDEN,
    N_PIECES,
    Found,
    Table,
    TableStepper,
    all_outputs,
    constant_table,
    found,
    log_prob_of,
    plain_beam,
    random_table,
    run_beam,
    run_greedy,
    table_with_ties,
)
from torch import Tensor

from translator.search.beam import beam_search, search
from translator.search.greedy import greedy_search
from translator.search.result import NOTHING, Result, SearchOptions
from translator.search.step import fill_gaps, mask_log_probs
from translator.symbols import EOS, NEVER_EMITTED

ALPHAS = pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])


def tables(n: int, first_seed: int = 0) -> list[Table]:
    return [random_table(seed) for seed in range(first_seed, first_seed + n)]


def assert_same(actual: Sequence[Sequence[Found]], expected: Sequence[Sequence[Found]]) -> None:
    """Assert the same outputs in the same order, worth the same but for rounding."""
    assert [[f.ids for f in answers] for answers in actual] == [
        [f.ids for f in answers] for answers in expected
    ]
    for ours, theirs in zip(actual, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.log_prob == pytest.approx(b.log_prob, rel=0, abs=1e-12)
            assert a.score == pytest.approx(b.score, rel=0, abs=1e-12)


def n_different(actual: Sequence[Sequence[Found]], expected: Sequence[Sequence[Found]]) -> int:
    assert len(actual) == len(expected)
    return sum([f.ids for f in a] != [f.ids for f in b] for a, b in zip(actual, expected, strict=True))


# --- Against plain answers ----------------------------------------------------------------------------


@ALPHAS
def test_greedy_is_a_beam_of_one(alpha: float) -> None:
    some, lengths = tables(30), [2 + seed % 8 for seed in range(30)]
    greedy = found(run_greedy(some, lengths, alpha=alpha))
    assert greedy == found(run_beam(some, lengths, beam_size=1, alpha=alpha))
    assert len({len(answers[0].ids) for answers in greedy}) > 3
    # Control: with a second hypothesis, other outputs win.
    assert n_different(greedy, found(run_beam(some, lengths, beam_size=2, alpha=alpha))) > 3


def test_greedy_is_a_beam_of_one_where_scores_tie_and_a_prefix_is_forced() -> None:
    tied = [table_with_ties(seed) for seed in range(30)]
    assert found(run_greedy(tied, 6)) == found(run_beam(tied, 6, beam_size=1))
    forced = found(run_greedy(tied, 6, prefix=[5, 6]))
    assert forced == found(run_beam(tied, 6, beam_size=1, prefix=[5, 6]))
    assert n_different(forced, found(run_greedy(tied, 6))) > 3


@ALPHAS
@pytest.mark.parametrize("max_length", [2, 4, 5])
def test_a_beam_of_full_width_finds_the_best_of_all_outputs(max_length: int, alpha: float) -> None:
    some = tables(8, first_seed=100)
    expected = [all_outputs(table, max_length, alpha)[:3] for table in some]
    n_outputs = len(all_outputs(some[0], max_length, alpha))
    assert n_outputs == sum(3**n for n in range(1, max_length))
    assert_same(found(run_beam(some, max_length, beam_size=n_outputs, alpha=alpha, n_best=3)), expected)


@ALPHAS
def test_control_a_narrow_beam_misses_some(alpha: float) -> None:
    some = tables(30, first_seed=100)
    best = [all_outputs(table, 5, alpha)[:1] for table in some]
    assert n_different(found(run_beam(some, 5, beam_size=1, alpha=alpha)), best) > 3


@ALPHAS
@pytest.mark.parametrize("n_best", [1, 3])
@pytest.mark.parametrize("beam_size", [3, 4, 9])
def test_a_plain_search_finds_the_same(beam_size: int, n_best: int, alpha: float) -> None:
    some, lengths = tables(20, first_seed=200), [2 + seed % 7 for seed in range(20)]

    def plain(**options: object) -> list[list[Found]]:
        return [
            plain_beam(table, length, beam_size=beam_size, alpha=alpha, n_best=n_best, **options)
            for table, length in zip(some, lengths, strict=True)
        ]

    options = {"beam_size": beam_size, "alpha": alpha, "n_best": n_best}
    assert_same(found(run_beam(some, lengths, **options)), plain())
    assert_same(found(run_beam(some, lengths, **options, prefix=[6])), plain(prefix=[6]))
    # Control: a beam of two is another search.
    other = [plain_beam(t, n, beam_size=2, alpha=alpha, n_best=1) for t, n in zip(some, lengths, strict=True)]
    assert n_different([answers[:1] for answers in plain()], other) > 0


# --- Stopping -----------------------------------------------------------------------------------------


def run_counting_steps(some: Sequence[Table], alpha: float) -> tuple[list[list[Found]], int]:
    """Return the best answer and then the two best of each sentence, and for how many steps it stayed."""
    answers, n_steps = [], 0
    for n_best in (1, 2):
        stepper = TableStepper(some)
        results = beam_search(
            stepper,
            torch.full((len(some),), 8),
            options=SearchOptions(4, alpha, FORBIDDEN, n_best=n_best),
        )
        answers += found(results)
        n_steps += sum(stepper.batch_sizes)
    return answers, n_steps


def peaked_table(seed: int) -> Table:
    return random_table(seed, scale=4.0)


@ALPHAS
@pytest.mark.parametrize("kind", [peaked_table, table_with_ties])
def test_stopping_early_changes_no_answer(
    kind: Callable[[int], Table], alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [kind(seed) for seed in range(300, 340)]
    answers, n_steps = run_counting_steps(some, alpha)
    monkeypatch.setattr("translator.search.beam.best_possible", lambda *_: 0.0)  # all may still win
    patient, n_patient_steps = run_counting_steps(some, alpha)
    assert answers == patient
    assert n_steps < n_patient_steps
    # Control: a bound that is none, "nothing live can win", does change answers.
    monkeypatch.setattr("translator.search.beam.best_possible", lambda *_: -torch.inf)
    hasty, _ = run_counting_steps(some, alpha)
    assert n_different(hasty, patient) > 3


@pytest.mark.parametrize("beam_size", [1, 3])
def test_finished_sentences_leave(beam_size: int) -> None:
    lengths = [2, 3, 3, 6]
    endless = [constant_table(p4=-1.0, eos=-50.0)] * 4
    stepper = TableStepper(endless)
    results = search(
        stepper,
        torch.tensor(lengths),
        options=SearchOptions(beam_size, 1.0, FORBIDDEN),
    )
    assert [len(result.hypotheses[0].ids) + 1 for result in results] == lengths
    assert stepper.batch_sizes == [4, 4, 3, 1, 1, 1]
    assert stepper.rows == []


# --- What comes out -----------------------------------------------------------------------------------


def both(some: Sequence[Table], max_lengths: int | Sequence[int], **options: object) -> list[Result]:
    """Return the results of greedy search and then of a beam."""
    return run_greedy(some, max_lengths, **options) + run_beam(some, max_lengths, beam_size=3, **options)


def test_at_least_one_piece() -> None:
    silent = constant_table(eos=-0.01, p5=-5.0)
    for result in both([silent], 6):
        assert result.hypotheses[0].ids == [5]


def test_the_greatest_length_is_kept_and_its_end_symbol_is_scored() -> None:
    talkative = constant_table(p4=-0.5, eos=-50.0)
    for result in both([talkative], 5, alpha=0.6):
        best = result.hypotheses[0]
        assert best.ids == [4, 4, 4, 4]
        assert best.log_prob == -0.5 * 4 - 50
        assert best.score == pytest.approx(-52 / 5**0.6, abs=1e-12)


@ALPHAS
def test_scores_are_those_of_the_table(alpha: float) -> None:
    some, lengths = tables(20, first_seed=400), [3 + seed % 6 for seed in range(20)]
    for n_best, results in (
        (1, run_greedy(some, lengths, alpha=alpha)),
        (4, run_beam(some, lengths, beam_size=4, alpha=alpha, n_best=4)),
    ):
        for table, length, result in zip(some, lengths, results, strict=True):
            assert 1 <= len(result.hypotheses) <= n_best
            for hypothesis in result.hypotheses:
                assert 1 <= len(hypothesis.ids) < length
                expected = log_prob_of(table, [*hypothesis.ids, EOS])
                assert hypothesis.log_prob == pytest.approx(expected, abs=1e-12)
                normalised = expected / (len(hypothesis.ids) + 1) ** alpha
                assert hypothesis.score == pytest.approx(normalised, abs=1e-12)
                # Control: another sentence's table gives another sum.
                other = log_prob_of(random_table(399), [*hypothesis.ids, EOS])
                assert hypothesis.log_prob != pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_scores_are_summed_in_float64(beam_size: int) -> None:
    stepper = TableStepper([constant_table(p4=-0.1, eos=-50.0)], torch.float32)
    [result] = search(stepper, torch.tensor([200]), options=SearchOptions(beam_size, 1.0, FORBIDDEN))
    each = torch.tensor(-0.1)  # rounded to float32
    assert result.hypotheses[0].log_prob == pytest.approx(199 * each.double().item() - 50, rel=0, abs=1e-10)
    # Control: in float32 the sum is another.
    total = torch.zeros(())
    for _ in range(199):
        total += each
    assert total.item() - 50 != pytest.approx(result.hypotheses[0].log_prob, rel=0, abs=1e-6)


def test_forbidden_pieces_are_never_chosen() -> None:
    some = [random_table(seed, scale=4.0) for seed in range(60)]
    chosen = {i for result in both(some, 8) for i in result.hypotheses[0].ids}
    assert chosen == set(range(N_PIECES)) - {*NEVER_EMITTED, EOS}
    # Control: where all pieces are allowed, they are chosen.
    results = greedy_search(
        TableStepper(some),
        torch.full((60,), 8),
        options=SearchOptions(1, 1.0, []),
    )
    assert {i for result in results for i in result.hypotheses[0].ids} > {*NEVER_EMITTED}


def test_a_forced_prefix_begins_every_output_and_counts() -> None:
    some, prefix = tables(10, first_seed=500), [6, 4]
    for table, result in zip(some * 2, both(some, 7, prefix=prefix), strict=True):
        best = result.hypotheses[0]
        assert best.ids[:2] == prefix
        expected = log_prob_of(table, [*best.ids, EOS])
        assert best.log_prob == pytest.approx(expected, abs=1e-12)
        assert best.score == pytest.approx(expected / (len(best.ids) + 1), abs=1e-12)
    n_forced = sum(result.hypotheses[0].ids[:2] == prefix for result in both(some, 7))
    assert n_forced < 10  # control: not of themselves
    # The end may follow a prefix at once, and the length limit counts it.
    silent = constant_table(eos=-0.01)
    assert [result.hypotheses[0].ids for result in both([silent], 7, prefix=prefix)] == [prefix] * 2
    talkative = constant_table(p5=-0.01)
    assert {len(r.hypotheses[0].ids) for r in both([talkative], 4, prefix=prefix)} == {3}


@ALPHAS
def test_n_best_are_sorted_and_unlike(alpha: float) -> None:
    some = tables(20, first_seed=600)
    wide = run_beam(some, 7, beam_size=5, alpha=alpha, n_best=5)
    for result in wide:
        scores = [hypothesis.score for hypothesis in result.hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(hypothesis.ids) for hypothesis in result.hypotheses}) == len(scores)
    assert {len(result.hypotheses) for result in wide} == {5}
    # The first n of more are the n best.
    for n_best in (1, 2, 4):
        fewer = found(run_beam(some, 7, beam_size=5, alpha=alpha, n_best=n_best))
        assert fewer == [answers[:n_best] for answers in found(wide)]


def test_more_answers_than_the_beam_are_refused() -> None:
    message = re.escape("n_best=3 is above beam_size=2")
    with pytest.raises(ValueError, match=message):
        run_beam(tables(1), 5, beam_size=2, n_best=3)
    with pytest.raises(ValueError, match=re.escape("n_best=2 is above beam_size=1")):
        search(
            TableStepper(tables(1)),
            torch.tensor([5]),
            options=SearchOptions(1, 1.0, FORBIDDEN, n_best=2),
        )


def test_fewer_outputs_than_wanted_are_all_returned() -> None:
    [result] = run_beam(tables(1), 2, beam_size=8, n_best=8)
    assert sorted(hypothesis.ids for hypothesis in result.hypotheses) == [[4], [5], [6]]


@pytest.mark.parametrize("at_start", [False, True])
def test_what_may_be_chosen(at_start: bool) -> None:
    scores = torch.zeros(2, 3, N_PIECES)
    at_limit = torch.tensor([False, True])
    mask_log_probs(scores, forbidden=[0, 5], end=EOS, at_start=at_start, at_limit=at_limit)
    allowed = [[{i for i, x in enumerate(row) if x == 0} for row in rows] for rows in scores.tolist()]
    if at_start:  # an output has a piece, whatever its limit
        assert allowed == [[{1, 2, 4, 6}] * 3] * 2
    else:
        assert allowed == [[{1, 2, EOS, 4, 6}] * 3, [{EOS}] * 3]


# --- Exact ties ---------------------------------------------------------------------------------------


@ALPHAS
def test_ties_go_to_the_lowest_hypothesis_and_then_the_lowest_piece(alpha: float) -> None:
    tied = [table_with_ties(seed) for seed in range(40)]
    options = {"beam_size": 3, "alpha": alpha, "n_best": 3}
    expected = [plain_beam(table, 6, **options) for table in tied]
    assert found(run_beam(tied, 6, **options)) == expected
    # Control: the order among equals matters.
    other = [plain_beam(table, 6, **options, last_piece_first=True) for table in tied]
    assert n_different(other, expected) > 3


def test_where_everything_ties() -> None:
    uniform: Table = lambda ids: [-1.0] * N_PIECES  # noqa: E731
    results = run_beam([uniform], 5, beam_size=2, alpha=0.0, n_best=2) + run_greedy([uniform], 5)
    # The lowest pieces first, the end symbol (3) being lower than any other.
    assert [[h.ids for h in result.hypotheses] for result in results] == [[[4], [4, 4]], [[4]]]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_ties_do_not_depend_on_the_company(beam_size: int) -> None:
    numbers = list(range(24))
    tied = [table_with_ties(seed) for seed in numbers]
    lengths = [3 + seed % 5 for seed in numbers]

    def answers(order: Sequence[int]) -> list[list[Found]]:
        results = run_beam([tied[i] for i in order], [lengths[i] for i in order], beam_size=beam_size)
        if beam_size == 1:
            results = run_greedy([tied[i] for i in order], [lengths[i] for i in order])
        return found(results)

    together = answers(numbers)
    assert [answers([i])[0] for i in numbers] == together
    random.Random(1).shuffle(numbers)
    assert answers(numbers) == [together[i] for i in numbers]
    assert answers(numbers) != together  # control: they are different sentences


# --- Scores that are no numbers -----------------------------------------------------------------------

INF, NAN = math.inf, math.nan
#: What a broken model may say: of every piece, of some pieces, or from some length on.
BROKEN: dict[str, Table] = {
    "nan": lambda ids: [NAN] * N_PIECES,
    "-inf": lambda ids: [-INF] * N_PIECES,
    "+inf": lambda ids: [INF] * N_PIECES,
    "nan but for the end": lambda ids: [-1.0 if piece == EOS else NAN for piece in range(N_PIECES)],
    "nan for the end": lambda ids: [NAN if piece == EOS else -1.0 for piece in range(N_PIECES)],
    "no end": lambda ids: [-INF if piece == EOS else -1.0 for piece in range(N_PIECES)],
    "+inf but for the end": lambda ids: [-INF if piece == EOS else INF for piece in range(N_PIECES)],
    "nan after two pieces": lambda ids: [NAN if len(ids) > 1 else -1.0 - piece for piece in range(N_PIECES)],
    "nan, -inf and inf by turns": lambda ids: [(NAN, -INF, INF)[len(ids) % 3]] * N_PIECES,
}


@pytest.mark.parametrize("prefix", [(), (5, 4)])
@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("name", BROKEN)
def test_a_search_ends_at_its_limit_whatever_the_scores_are(
    name: str, beam_size: int, prefix: Sequence[int]
) -> None:
    """A sound sentence beside the broken one comes out as it does by itself."""

    class Bounded(TableStepper):
        def step(self, tokens: Tensor) -> Tensor:
            assert len(self.batch_sizes) < 9, "beyond the greatest length"
            return super().step(tokens)

    def results(some: list[Table], lengths: list[int]) -> list[Result]:
        return search(
            Bounded(some),
            torch.tensor(lengths),
            options=SearchOptions(beam_size, 1.0, FORBIDDEN, n_best=min(beam_size, 2), prefix=prefix),
        )

    sound = random_table(3)
    broken, beside = results([BROKEN[name], sound], [6, 9])
    assert broken.hypotheses
    for hypothesis in broken.hypotheses:
        assert len(hypothesis.ids) < 6
        assert hypothesis == NOTHING or math.isfinite(hypothesis.log_prob)
    assert found([beside]) == found(results([sound], [9]))


def test_gaps_are_filled_from_the_end() -> None:
    assert fill_gaps([]) == []
    assert fill_gaps([0, 1, 2]) == [0, 1, 2]
    assert fill_gaps([1, 2, 5, 7]) == [5, 1, 2, 7]
    for seed in range(50):
        draw = random.Random(seed)
        staying = sorted(draw.sample(range(20), draw.randrange(20)))
        filled = fill_gaps(staying)
        assert sorted(filled) == staying
        assert all(filled[row] == row for row in staying if row < len(staying))
