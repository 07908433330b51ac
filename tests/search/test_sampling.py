"""Sampling on tables of log-probabilities: outputs come out as often as they are probable."""

import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from native_models import native, needs_library, random_model, tiny_shape
from table_stepper import (
    FORBIDDEN,
    N_PIECES,
    Found,
    Table,
    TableStepper,
    choices,
    constant_table,
    found,
    log_prob_of,
    random_table,
    run_greedy,
)

from translator.search.beam import search
from translator.search.greedy import gumbel_noise
from translator.search.result import SearchOptions
from translator.symbols import EOS, NEVER_EMITTED

MAX_LENGTH = 4


def run_sampling(
    tables: Sequence[Table],
    seeds: Sequence[int],
    *,
    max_length: int = MAX_LENGTH,
    prefix: Sequence[int] = (),
    dtype: torch.dtype = torch.float64,
) -> list[Found]:
    """Sample an output for each seed."""
    results = search(
        TableStepper(tables, dtype),
        torch.full((len(seeds),), max_length),
        options=SearchOptions(1, 1.0, FORBIDDEN, prefix=prefix, seeds=seeds),
    )
    return [answers[0] for answers in found(results)]


def expected(
    table: Table, ids: tuple[int, ...] = (), probability: float = 1.0
) -> dict[tuple[int, ...], float]:
    """Return the probability of each output if every step draws from the tokens that it allows."""
    steps = {token: math.exp(log_prob) for token, log_prob in choices(table, ids, MAX_LENGTH)}
    total, outputs = sum(steps.values()), {}
    for token, p in steps.items():
        if token == EOS:
            outputs[ids] = probability * p / total
        else:
            outputs |= expected(table, (*ids, token), probability * p / total)
    return outputs


def chi_square(counts: Counter[tuple[int, ...]], probabilities: dict[tuple[int, ...], float]) -> float:
    n = counts.total()
    assert set(counts) <= set(probabilities)
    return sum((counts[ids] - n * p) ** 2 / (n * p) for ids, p in probabilities.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_are_as_frequent_as_they_are_probable(dtype: torch.dtype) -> None:
    table, n = random_table(2, scale=0.5), 4000
    counts = Counter(tuple(each.ids) for each in run_sampling([table] * n, range(n), dtype=dtype))
    probabilities = expected(table)
    assert len(probabilities) == 3 + 9 + 27
    assert sum(probabilities.values()) == pytest.approx(1)
    assert min(probabilities.values()) * n > 5
    # With 38 degrees of freedom, chance exceeds 70.7 once in a thousand.
    assert chi_square(counts, probabilities) < 70.7
    # Control: a table that is flatter is told apart, and a search finds one output.
    flatter = expected(lambda ids: [0.7 * x for x in table(ids)])
    assert chi_square(counts, flatter) > 70.7
    assert len({tuple(answers[0].ids) for answers in found(run_greedy([table] * 9, MAX_LENGTH))}) == 1


def test_noise_is_gumbel_noise() -> None:
    noise = gumbel_noise([torch.Generator().manual_seed(seed) for seed in range(20)], 5000)
    assert noise.shape == (20, 5000)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)  # Euler's constant
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.04)
    assert not torch.equal(noise[0], noise[1])


def test_a_sample_depends_on_its_seed_alone() -> None:
    numbers = list(range(60))
    tables = [random_table(n) for n in numbers]
    together = run_sampling(tables, numbers, max_length=9)
    assert run_sampling(tables, numbers, max_length=9) == together
    assert [run_sampling([tables[n]], [n], max_length=9)[0] for n in numbers] == together
    random.Random(1).shuffle(numbers)
    shuffled = run_sampling([tables[n] for n in numbers], numbers, max_length=9)
    assert shuffled == [together[n] for n in numbers]
    # Control: other seeds give other samples.
    others = run_sampling(tables, range(100, 160), max_length=9)
    assert sum(a.ids != b.ids for a, b in zip(together, others, strict=True)) > 30


def test_scores_are_those_of_the_table_without_the_noise() -> None:
    tables = [random_table(seed) for seed in range(20)]
    for table, each in zip(tables, run_sampling(tables, range(20), max_length=7), strict=True):
        assert each.log_prob == pytest.approx(log_prob_of(table, [*each.ids, EOS]), abs=1e-12)
        assert each.score == pytest.approx(each.log_prob / (len(each.ids) + 1), abs=1e-12)


def test_limits_hold_and_forbidden_tokens_are_never_sampled() -> None:
    n = 300
    flat: Table = lambda ids: [-1.0] * N_PIECES  # noqa: E731
    for limit in (2, 3, 6):
        samples = run_sampling([flat] * n, range(n), max_length=limit)
        assert {len(each.ids) for each in samples} == set(range(1, limit))
        assert {token for each in samples for token in each.ids} == set(range(N_PIECES)) - {
            *NEVER_EMITTED,
            EOS,
        }
    endless = run_sampling([constant_table(p4=-0.1, eos=-50.0)] * 5, range(5), max_length=6)
    assert [len(each.ids) for each in endless] == [5] * 5
    forced = run_sampling([flat] * n, range(n), prefix=[6, 4])
    assert {tuple(each.ids) for each in forced} == {(6, 4), (6, 4, 4), (6, 4, 5), (6, 4, 6)}


@needs_library
def test_only_the_readable_search_samples_and_without_a_beam() -> None:
    with pytest.raises(ValueError, match="which has no beam; beam_size=3"):
        SearchOptions(3, 1.0, FORBIDDEN, seeds=[1])
    decoder = native(random_model(tiny_shape()), tiny_shape())
    options = SearchOptions(1, 1.0, NEVER_EMITTED, seeds=[1])
    with pytest.raises(
        ValueError, match="the search in C does not sample; load the model with backend='torch'"
    ):
        decoder.search([[5, 6]], max_lengths=[5], options=options)
