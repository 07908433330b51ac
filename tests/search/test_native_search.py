"""The search in C, on tables of log-probabilities, finds to the last bit what the readable search finds."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from native_models import each_level, native, needs_library, random_model, tiny_shape
from numpy.typing import NDArray
from table_stepper import Found, TableStepper, found, plain_beam

from translator.engine.native_decoding import NativeDecoder
from translator.search.beam import beam_search, search
from translator.search.result import NOTHING, Result, SearchOptions
from translator.search.trace import Trace
from translator.symbols import EOS, NEVER_EMITTED

Row = NDArray[np.float32]
Draw = Callable[[np.random.Generator, int], Row]
NEVER = float("-inf")


def log_softmax(logits: Row) -> Row:
    return (logits - np.logaddexp.reduce(logits.astype(np.float64))).astype(np.float32)


def with_gaps(draw: np.random.Generator, n: int) -> Row:
    """Most tokens are impossible, and in one row of eight all are."""
    row = log_softmax(draw.normal(size=n))
    row[draw.random(n) < (0.7 if draw.random() < 0.9 else 1)] = NEVER
    return row


#: Ways to draw the log-probabilities of the next token.
KINDS: dict[str, Draw] = {
    "random": lambda draw, n: log_softmax(draw.normal(size=n) * 1.5),
    "peaked": lambda draw, n: log_softmax(draw.normal(size=n) * 20),
    "quarters": lambda draw, n: np.round(log_softmax(draw.normal(size=n)) * 4).astype(np.float32) / 4,
    "few values": lambda draw, n: draw.choice(np.float32([-0.25, -1, -4, -8]), n),
    "all equal": lambda draw, n: np.full(n, -1.5, np.float32),
    "gaps": with_gaps,
    "all but equal": lambda draw, n: np.nextafter(np.float32(-2), draw.choice(np.float32([-3, -2, 0]), n)),
    "tiny": lambda draw, n: (-(10.0 ** draw.integers(-40, 0, n))).astype(np.float32),
}


@dataclass(frozen=True)
class Case:
    """Sentences to search in one batch, each with its table, its limit and its prefix."""

    n_tokens: int
    tables: Sequence[Callable[[tuple[int, ...]], Row]]
    max_lengths: Sequence[int]
    prefixes: Sequence[Sequence[int]]
    options: SearchOptions


def random_case(seed: int, kind: str = "") -> Case:
    draw = random.Random(seed)
    n_tokens, n, kind = draw.randint(5, 40), draw.randint(1, 5), kind or draw.choice(list(KINDS))

    def table_of(sentence: int) -> Callable[[tuple[int, ...]], Row]:
        # The same row after every history makes many hypotheses equal, unless each one has its own.
        depends = draw.choice([lambda ids: ids, lambda ids: len(ids), lambda ids: 0])

        @cache
        def row(key: object) -> Row:
            numbers = np.random.default_rng(
                abs(hash((seed, sentence, key)))
            )  # integers hash alike in each run
            return KINDS[kind](numbers, n_tokens)

        return lambda ids: row(depends(ids))

    prefixes = [[draw.randrange(4, n_tokens) for _ in range(draw.choice([0, 0, 0, 1, 3]))] for _ in range(n)]
    # Greedy search compares log-probabilities, and beam search sums, in which tiny differences may be lost.
    beam_size = draw.randint(2 if kind == "tiny" else 1, 12)
    forbidden = draw.choice([NEVER_EMITTED, (), range(4, n_tokens), draw.sample(range(n_tokens), 3)])
    return Case(
        n_tokens,
        [table_of(sentence) for sentence in range(n)],
        [max(2, len(prefix) + 1, draw.randint(2, 12)) for prefix in prefixes],
        prefixes,
        SearchOptions(
            beam_size,
            draw.choice([0.0, 0.6, 1.0, 2.0, draw.uniform(0, 2)]),
            [token for token in forbidden if token != EOS],
            n_best=draw.randint(1, beam_size),
        ),
    )


@cache
def decoder_of(n_tokens: int, level: str) -> NativeDecoder:
    shape = tiny_shape(width=16, n_heads=1, feed_forward=16, n_decoder_layers=1)
    return native(random_model(shape, n_tokens=n_tokens), shape, level=level)


def search_in_c(
    case: Case, level: str = "", *, sentences: Sequence[int] | None = None, trace: Trace | None = None
) -> list[Result]:
    """Search some of the sentences of a case in one batch, by default all of them."""
    chosen = range(len(case.tables)) if sentences is None else sentences
    return decoder_of(case.n_tokens, level).search(
        [[EOS]] * len(chosen),
        max_lengths=[case.max_lengths[i] for i in chosen],
        options=case.options,
        prefixes=[case.prefixes[i] for i in chosen],
        table=lambda sentence, tokens: case.tables[chosen[sentence]](tuple(tokens)),
        trace=trace,
    )


def search_readably(case: Case, sentence: int, *, trace: Trace | None = None) -> Result:
    stepper = TableStepper([lambda ids: case.tables[sentence](ids).tolist()], dtype=torch.float32)
    options = replace(case.options, prefix=case.prefixes[sentence])
    max_lengths = torch.tensor([case.max_lengths[sentence]])
    # A wide beam is searched as such even if a single result is asked for, and a beam of one greedily.
    return search(stepper, max_lengths, options=options, trace=trace)[0]


def all_readably(case: Case) -> list[Result]:
    return [search_readably(case, i) for i in range(len(case.tables))]


@cache  # for each level
def random_case_and_results(seed: int, kind: str) -> tuple[Case, list[Result]]:
    case = random_case(seed, kind)
    return case, all_readably(case)


def assert_same_results(case: Case, expected: list[Result], level: str = "") -> int:
    """Compare all sentences of a case, and return the number of hypotheses."""
    together = search_in_c(case, level)
    assert found(together) == found(expected)
    for i, result in enumerate(together):
        for hypothesis in result.hypotheses:
            if hypothesis != NOTHING:
                ids = [*hypothesis.ids, EOS]
                rows = [case.tables[i](tuple(ids[:k]))[token] for k, token in enumerate(ids)]
                assert hypothesis.log_probs == rows
                assert sum(map(float, rows)) == hypothesis.log_prob  # from left to right, as both searches
    return sum(len(result.hypotheses) for result in together)


@each_level
@pytest.mark.parametrize("kind", KINDS)
def test_both_searches_find_the_same(kind: str, level: str) -> None:
    n_hypotheses = sum(assert_same_results(*random_case_and_results(seed, kind), level) for seed in range(25))
    assert n_hypotheses > 80


@pytest.mark.slow
@each_level
@pytest.mark.parametrize("kind", KINDS)
def test_both_searches_rank_the_same_continuations_at_each_step(kind: str, level: str) -> None:
    n_considered = 0
    for seed in range(12):
        case = random_case(1000 + seed, kind)
        for i in range(len(case.tables)):
            trace: Trace = []
            expected: Trace = []
            [result] = search_in_c(case, level, sentences=[i], trace=trace)
            assert found([result]) == found([search_readably(case, i, trace=expected)])
            # The search in C ends where nothing is possible; the readable one then has steps without scores.
            assert trace == [step for step in expected if step and step[0].log_prob > NEVER]
            n_considered += sum(map(len, trace))
    assert n_considered > 500


@needs_library
def test_control_another_rule_for_ties_finds_others() -> None:
    """`plain_beam` is a third search. With the rule it finds the same, and against the rule it does not."""

    def plainly(case: Case, *, last_piece_first: bool) -> list[Found]:
        options = case.options
        return plain_beam(
            lambda ids: case.tables[0](ids).tolist(), case.max_lengths[0], beam_size=options.beam_size,
            alpha=options.length_penalty, n_best=options.n_best, last_piece_first=last_piece_first,
        )  # fmt: skip

    n_others = 0
    for seed in range(100):
        case = random_case(seed, "few values")
        case = replace(case, options=replace(case.options, forbidden=NEVER_EMITTED), prefixes=[()] * 5)
        [ours] = found(search_in_c(case, sentences=[0]))
        assert ours == plainly(case, last_piece_first=False)
        n_others += ours != plainly(case, last_piece_first=True)
    assert n_others > 30


@needs_library
def test_control_a_wrong_last_bit_is_seen() -> None:
    case = random_case(7, "random")
    right = search_in_c(case)

    def nudged(ids: tuple[int, ...]) -> Row:
        return np.nextafter(case.tables[0](ids), np.float32(-100))

    wrong = search_in_c(replace(case, tables=[nudged, *case.tables[1:]]))
    assert found(wrong)[0] != found(right)[0]
    assert found(wrong)[1:] == found(right)[1:]


@pytest.mark.slow
@each_level
@pytest.mark.parametrize("n_tokens", [*range(5, 20), 31, 32, 33, 63, 64, 65, 127, 128, 129, 300])
def test_every_size_of_vocabulary_and_beams_wider_than_it(n_tokens: int, level: str) -> None:
    """What fills the last vector of a row is never chosen. All tokens but the forbidden ones may be."""
    draw = np.random.default_rng(n_tokens)
    rows = [log_softmax(draw.normal(size=n_tokens)) for _ in range(4)]
    for beam_size in (1, 3, n_tokens, 2 * n_tokens):
        options = SearchOptions(beam_size, 1.0, NEVER_EMITTED, n_best=beam_size)
        case = Case(n_tokens, [lambda ids: rows[len(ids)]] * 2, [4, 3], [(), ()], options)
        assert_same_results(case, all_readably(case), level)
        assert search_in_c(case, level)[1].hypotheses[0].ids


@needs_library
@pytest.mark.parametrize("n_best", [1, 4])
def test_if_everything_but_the_end_is_forbidden_nothing_is_found(n_best: int) -> None:
    """The first token is not the end, so there is none; after a prefix, there is."""
    case = random_case(3, "random")
    options = SearchOptions(4, 1.0, [t for t in range(case.n_tokens) if t != EOS], n_best=n_best)
    case = replace(case, options=options, tables=case.tables[:1] * 2, max_lengths=[5, 5], prefixes=[(), [4]])
    nothing, forced = search_in_c(case)
    assert nothing == Result([NOTHING])
    assert [hypothesis.ids for hypothesis in forced.hypotheses] == [[4]]
    assert_same_results(case, all_readably(case))


@needs_library
@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_search_ends_at_its_limit_whatever_the_scores_are(beam_size: int) -> None:
    """NaN and -inf are never chosen, and a sound sentence in the same batch is not disturbed."""
    sound = random_case(11, "random").tables[0]
    n_tokens = len(sound(()))

    def constant(value: float) -> Callable[[tuple[int, ...]], Row]:
        return lambda ids: np.full(n_tokens, value, np.float32)

    def growing(ids: tuple[int, ...]) -> Row:
        """The end is the last token that anybody would choose."""
        row = sound(ids).copy()
        row[EOS] = -1000
        return row

    tables = [constant(math.nan), constant(NEVER), growing, sound]
    options = SearchOptions(beam_size, 1.0, NEVER_EMITTED, n_best=beam_size)
    case = Case(n_tokens, tables, [6] * 4, [()] * 4, options)
    *broken, grown, beside = search_in_c(case)
    assert all(result == Result([NOTHING]) for result in broken)
    assert {len(hypothesis.ids) for hypothesis in grown.hypotheses} == {5}
    assert [beside] == search_in_c(case, sentences=[3])


def test_greedy_search_and_a_beam_of_one_are_both_compared() -> None:
    """The readable searches are two; the cases above contain both."""
    sizes = {random_case(seed).options.beam_size for seed in range(100)}
    assert sizes == set(range(1, 13))
    case = random_case(5, "few values")
    case = replace(case, options=replace(case.options, beam_size=1, n_best=1))
    by_beam = beam_search(
        TableStepper([lambda ids: case.tables[0](ids).tolist()], dtype=torch.float32),
        torch.tensor(case.max_lengths[:1]),
        options=replace(case.options, prefix=case.prefixes[0]),
    )
    assert found(by_beam) == found([search_readably(case, 0)])
