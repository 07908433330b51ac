"""Mixed epochs: each source has its share of the tokens, pass after pass, on all ranks, from any position."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, chain, islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_batching import (
    BUDGETS,
    LENGTHS,
    Numbered,
    n_tokens,
    of_ranks,
    realistic,
    resegmented,
    rows_of,
    same,
)

from translator.data.batching import BatchStream, EpochPlan, Lengths, Position, plan_epoch
from translator.data.mixing import Share, plan_mixed_epoch

#: Numbers of pairs and weights of the sources: equal; large and small; ten times the other, either way, with
#: equal weights and with weights like the sizes; one that is repeated many times; three.
MIXES = [
    ((6000, 6000), (1, 1)),
    ((10_000, 1000), (1, 1)),
    ((1000, 10_000), (1, 1)),
    ((10_000, 1000), (10, 1)),
    ((400, 10_000), (0.7, 0.3)),
    ((3000, 6000, 900), (5, 3, 2)),
]


def joined(parts: Sequence[Lengths]) -> Lengths:
    return Lengths(*(torch.cat(sides) for sides in zip(*parts, strict=True)))


def shares_of(sizes: Sequence[int], weights: Sequence[float]) -> list[Share]:
    pairs = enumerate(zip(sizes, weights, strict=True))
    return [Share(str(i), size, weight / sum(weights)) for i, (size, weight) in pairs]


def mixed(sizes: Sequence[int], weights: Sequence[float]) -> Callable[..., EpochPlan]:
    lengths = joined([realistic(size, seed) for seed, size in enumerate(sizes)])
    shares = shares_of(sizes, weights)
    return lambda epoch, seed=1, max_tokens=500: plan_mixed_epoch(
        lengths, shares, max_tokens=max_tokens, seed=seed, epoch=epoch
    )


def source_of_batches(plan: EpochPlan, sizes: Sequence[int]) -> list[int]:
    """The source of each batch, after checking that all of its rows are of this source."""
    ends = torch.tensor(list(accumulate(sizes)))
    sources = [set(torch.bucketize(plan.batch(i), ends, right=True).tolist()) for i in range(len(plan))]
    assert {len(found) for found in sources} == {1}
    return [found.pop() for found in sources]


def tokens_by_source(plan: EpochPlan, sizes: Sequence[int]) -> list[int]:
    counts: Counter[int] = Counter()
    for source, n in zip(source_of_batches(plan, sizes), plan.n_target_tokens.tolist(), strict=True):
        counts[source] += n
    return [counts[i] for i in range(len(sizes))]


@pytest.mark.parametrize(("sizes", "weights"), MIXES)
def test_each_source_has_its_share_of_an_epochs_tokens(
    sizes: tuple[int, ...], weights: tuple[float, ...]
) -> None:
    plan = mixed(sizes, weights)
    n_all = sum(int(realistic(size, seed).target.sum()) for seed, size in enumerate(sizes))
    for epoch in (0, 1, 7):
        counts = tokens_by_source(plan(epoch), sizes)
        assert sum(counts) == pytest.approx(n_all, rel=0.01)
        for n, weight in zip(counts, weights, strict=True):
            assert n / sum(counts) == pytest.approx(weight / sum(weights), abs=0.01)


@pytest.mark.parametrize(("sizes", "weights"), MIXES)
def test_the_shares_hold_at_every_point_of_an_epoch(
    sizes: tuple[int, ...], weights: tuple[float, ...]
) -> None:
    """No source is ever more than two batches ahead of its share or behind it."""
    made = mixed(sizes, weights)(1)
    counts, n_all = [0.0] * len(sizes), 0
    for source, n in zip(source_of_batches(made, sizes), made.n_target_tokens.tolist(), strict=True):
        counts[source] += n
        n_all += n
        for count, weight in zip(counts, weights, strict=True):
            assert abs(count - n_all * weight / sum(weights)) <= 2 * 500


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "weights"), MIXES)
def test_each_pass_over_a_source_has_each_of_its_pairs_once(
    sizes: tuple[int, ...], weights: tuple[float, ...]
) -> None:
    plan = mixed(sizes, weights)
    passes: dict[tuple[int, int], list[int]] = {}
    for epoch in range(4):
        made = plan(epoch)
        assert made.passes is not None
        for i, source in enumerate(source_of_batches(made, sizes)):
            passes.setdefault((source, int(made.passes[i])), []).extend(made.batch(i).tolist())
    for source, first in enumerate([0, *accumulate(sizes)][:-1]):
        numbers = sorted(number for found, number in passes if found == source)
        assert numbers == list(range(len(numbers)))
        expected = list(range(first, first + sizes[source]))
        complete = [passes[source, number] for number in numbers[:-1]]  # the last may go on in epoch 4
        for rows in complete:
            assert sorted(rows) == expected
        assert set(passes[source, numbers[-1]]) <= set(expected)
        assert len({tuple(rows) for rows in complete}) == len(complete)  # in another order each time


def test_one_source_is_planned_as_without_a_mix() -> None:
    lengths = realistic(500)
    for epoch in range(2):
        alone = plan_epoch(lengths, max_tokens=200, seed=3, epoch=epoch)
        made = plan_mixed_epoch(lengths, [Share("", 500, 1.0)], max_tokens=200, seed=3, epoch=epoch)
        assert torch.equal(made.rows, alone.rows)
        assert torch.equal(made.bounds, alone.bounds)
        assert torch.equal(made.n_target_tokens, alone.n_target_tokens)


def test_the_mix_depends_on_seed_and_epoch_alone() -> None:
    plan = mixed((300, 60), (1, 1))
    orders = [plan(*at).rows.tolist() for at in ((0, 1), (0, 1), (1, 1), (0, 2))]
    assert orders[0] == orders[1]
    assert orders[0] not in orders[2:]


@pytest.mark.slow
@pytest.mark.parametrize("sample", [None, resegmented], ids=["fixed", "sampled"])
@given(
    parts=st.lists(LENGTHS, min_size=2, max_size=3),
    weights=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    max_tokens=BUDGETS,
    accumulate=st.integers(1, 3),
    n_ranks=st.integers(1, 3),
)
@settings(max_examples=40)
def test_ranks_share_a_mix_and_go_on_from_any_position(
    sample: object, parts: list[Lengths], weights: list[float], max_tokens: int, accumulate: int, n_ranks: int
) -> None:
    lengths = joined(parts)
    shares = shares_of([len(part.target) for part in parts], weights[: len(parts)])

    def stream(**options: object) -> BatchStream:
        return BatchStream(
            Numbered(lengths),
            lambda epoch: plan_mixed_epoch(lengths, shares, max_tokens=max_tokens, seed=1, epoch=epoch),
            accumulate=accumulate,
            sample=sample,
            **options,  # type: ignore[arg-type]
        )

    n_steps = 5
    ranks = of_ranks(stream, n_ranks, n_steps * accumulate)
    if sample is None:  # the positions of a sample differ if steps are larger, but not its rows
        common = islice(stream(), n_steps * accumulate * n_ranks)
        in_turns = [batch for together in zip(*ranks, strict=True) for batch in together]
        assert [rows_of(batch) for batch in in_turns] == [rows_of(batch) for batch in common]
    for step in range(n_steps):
        batches = [b for rank in ranks for b in rank[step * accumulate : (step + 1) * accumulate]]
        assert {batch.n_step_tokens for batch in batches} == {sum(map(n_tokens, batches))}
    for i in range(0, n_steps * accumulate, accumulate):
        n_left = n_steps * accumulate - i - accumulate
        resumed = of_ranks(partial(stream, start=ranks[0][i].position), n_ranks, n_left)
        for rank, whole in enumerate(ranks):
            assert all(map(same, whole[i + accumulate :], resumed[rank]))


def test_a_sample_of_a_repeated_source_is_asked_for_by_the_number_of_its_pass() -> None:
    """Otherwise, all repetitions within an epoch would have the same noise."""
    asked: list[tuple[tuple[int, ...], int]] = []

    def sample(rows: Sequence[int], position: Position) -> tuple[list[list[int]], list[list[int]]]:
        asked.append((tuple(sorted(rows)), position.epoch))
        return resegmented(rows, position)

    lengths = joined([realistic(5), realistic(200)])
    plan = lambda epoch: plan_mixed_epoch(  # noqa: E731
        lengths, shares_of((5, 200), (1, 1)), max_tokens=500, seed=1, epoch=epoch
    )
    list(islice(BatchStream(Numbered(lengths), plan, sample=sample), len(plan(0))))
    of_small = [number for rows, number in asked if rows == (0, 1, 2, 3, 4)]
    assert of_small == list(range(len(of_small)))
    assert len(of_small) > 20
    assert sorted(chain.from_iterable(rows for rows, _ in asked if min(rows) >= 5))[-1] == 204
