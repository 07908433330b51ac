"""Batches: every pair once an epoch, within the budget, the same for all ranks and from any position."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from translator.data.batching import (
    START,
    Batch,
    BatchStream,
    EpochPlan,
    Lengths,
    Position,
    make_batch,
    pad,
    padding_fraction,
    plan_epoch,
)
from translator.symbols import BOS, EOS, PAD

MAX_LENGTH = 12


class Numbered:
    """Pairs of given lengths whose ids name their row: 10 + row, repeated."""

    def __init__(self, lengths: Lengths):
        self.lengths = lengths

    def __getitem__(self, rows: list[int], /) -> dict[str, list[list[int]]]:
        def side(lengths: Tensor) -> list[list[int]]:
            return [[10 + row] * (int(lengths[row]) - 1) for row in rows]

        return {"source_ids": side(self.lengths.source), "target_ids": side(self.lengths.target)}


def resegmented(rows: Sequence[int], position: Position) -> tuple[list[list[int]], list[list[int]]]:
    """Return another segmentation of some rows, whose length depends on row and position."""
    lengths = [1 + (7 * row + 3 * position.epoch + position.batch) % 5 for row in rows]
    ids = [[10 + row] * n for row, n in zip(rows, lengths, strict=True)]
    return ids, [[*row, 9] for row in ids]


LENGTHS = st.lists(
    st.tuples(st.integers(2, MAX_LENGTH), st.integers(2, MAX_LENGTH)), min_size=1, max_size=60
).map(lambda pairs: Lengths(*torch.tensor(pairs, dtype=torch.int32).T.contiguous()))
BUDGETS = st.integers(MAX_LENGTH, 60)


def plan(lengths: Lengths, max_tokens: int = 40, seed: int = 1, epoch: int = 0) -> EpochPlan:
    return plan_epoch(lengths, max_tokens=max_tokens, seed=seed, epoch=epoch)


def realistic(n: int, seed: int = 0) -> Lengths:
    """Return lengths as in a corpus of sentences: log-normal, and similar for source and target."""
    generator = torch.Generator().manual_seed(seed)
    source = (torch.randn(n, generator=generator) * 0.4 + 2.7).exp()
    target = source * (torch.randn(n, generator=generator) * 0.15).exp()
    return Lengths(*(side.round().clamp(2, 100).to(torch.int32) for side in (source, target)))


def planner(lengths: Lengths, max_tokens: int = 40, seed: int = 1) -> Callable[[int], EpochPlan]:
    return lambda epoch: plan(lengths, max_tokens, seed, epoch)


def stream(lengths: Lengths, **options: Any) -> BatchStream:
    planning = {key: options.pop(key) for key in ("max_tokens", "seed") if key in options}
    return BatchStream(Numbered(lengths), planner(lengths, **planning), **options)  # type: ignore[arg-type]


def of_ranks(make: Callable[..., BatchStream], n_ranks: int, n_batches: int) -> list[list[Batch]]:
    """Return the first batches of each rank. In a first round, the ranks tell the numbers to be summed."""
    told: list[list[int]] = [[] for _ in range(n_ranks)]

    def tell(number: int, rank: int) -> int:
        told[rank].append(number)
        return number

    for rank in range(n_ranks):
        list(islice(make(rank=rank, n_ranks=n_ranks, sum_over_ranks=partial(tell, rank=rank)), n_batches))
    ranks = []
    for rank in range(n_ranks):
        sums = map(sum, zip(*told, strict=True))
        made = make(rank=rank, n_ranks=n_ranks, sum_over_ranks=lambda _, sums=sums: next(sums))
        ranks.append(list(islice(made, n_batches)))
    return ranks


def rows_of(batch: Batch) -> list[int]:
    """The rows in a batch of `Numbered` pairs, each named by its first id."""
    return [int(i) - 10 for i in batch.target_out[:, 0]]


def same(one: Batch, other: Batch) -> bool:
    names = ("source_ids", "target_in", "target_out")
    tensors = [(getattr(one, name), getattr(other, name)) for name in names]
    return all(torch.equal(*pair) for pair in tensors) and (
        (one.n_step_tokens, one.position, one.epochs) == (other.n_step_tokens, other.position, other.epochs)
    )


def n_tokens(batch: Batch) -> int:
    return int((batch.target_out != PAD).sum())


@given(lengths=LENGTHS, max_tokens=BUDGETS, seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 10**6))
def test_a_plan_has_each_pair_once_within_the_budget(
    lengths: Lengths, max_tokens: int, seed: int, epoch: int
) -> None:
    made = plan(lengths, max_tokens, seed, epoch)
    batches = [made.batch(i).tolist() for i in range(len(made))]
    assert sorted(chain.from_iterable(batches)) == list(range(len(lengths.target)))
    assert min(map(len, batches)) > 0
    pairs = Numbered(lengths)
    for rows, n_target_tokens in zip(batches, made.n_target_tokens.tolist(), strict=True):
        ids = pairs[rows]
        batch = make_batch(ids["source_ids"], ids["target_ids"])
        assert batch.source_ids.numel() <= max_tokens
        assert batch.target_out.numel() <= max_tokens
        assert n_tokens(batch) == n_target_tokens
    again = plan(lengths, max_tokens, seed, epoch)
    assert torch.equal(again.rows, made.rows)
    assert torch.equal(again.bounds, made.bounds)


def test_a_batch_takes_all_that_the_budget_lets_in() -> None:
    lengths = Lengths(*torch.tensor([[5] * 17, [8] * 17], dtype=torch.int32))
    assert sorted(plan(lengths, 40).bounds.diff().tolist()) == [2, 5, 5, 5]
    assert sorted(plan(lengths, 39).bounds.diff().tolist()) == [1, 4, 4, 4, 4]


def test_the_order_differs_between_epochs_and_between_seeds() -> None:
    lengths = realistic(500)
    orders = [
        plan(lengths, 200, seed, epoch).rows for seed, epoch in [(1, 0), (1, 1), (2, 0), (2, 1), (0, 1)]
    ]
    for i, one in enumerate(orders):
        assert not any(torch.equal(one, other) for other in orders[i + 1 :])
    # Which pairs share a batch differs too.
    together = [
        {frozenset(p.batch(i).tolist()) for i in range(len(p))}
        for p in (plan(lengths, 200, 1, 0), plan(lengths, 200, 1, 1))
    ]
    assert len(together[0] & together[1]) < len(together[0]) / 2


def test_long_and_short_batches_come_mixed() -> None:
    made = plan(realistic(5000), 500)
    sizes = made.bounds.diff().double()
    half = len(sizes) // 2
    assert abs(sizes[:half].mean() / sizes[half:].mean() - 1) < 0.1


def test_little_of_a_batch_is_padding() -> None:
    lengths = realistic(20_000)
    made = plan(lengths, 3000)
    assert padding_fraction(lengths, made) < 0.08
    in_random_order = EpochPlan(torch.arange(20_000), made.bounds, made.n_target_tokens)
    assert padding_fraction(lengths, in_random_order) > 0.4


@given(lengths=LENGTHS, max_tokens=BUDGETS)
def test_the_padding_fraction_is_that_of_the_batches(lengths: Lengths, max_tokens: int) -> None:
    made, pairs = plan(lengths, max_tokens), Numbered(lengths)
    padded = positions = 0
    for i in range(len(made)):
        ids = pairs[made.batch(i).tolist()]
        batch = make_batch(ids["source_ids"], ids["target_ids"])
        for side in (batch.source_ids, batch.target_out):
            padded += int((side == PAD).sum())
            positions += side.numel()
    assert padding_fraction(lengths, made) == pytest.approx(padded / positions)


def test_lengths_and_order_take_16_bytes_a_pair() -> None:
    lengths = realistic(10_000)
    made = plan(lengths, 3000)
    assert sum(tensor.nbytes for tensor in (*lengths, made.rows)) == 16 * 10_000
    assert made.bounds.nbytes + made.n_target_tokens.nbytes < 10_000


def test_a_batch_is_padded_and_framed() -> None:
    batch = make_batch([[5, 6, 7], [8]], [[4], [5, 6]])
    assert batch.source_ids.tolist() == [[5, 6, 7, EOS], [8, EOS, PAD, PAD]]
    assert batch.target_in.tolist() == [[BOS, 4, PAD], [BOS, 5, 6]]
    assert batch.target_out.tolist() == [[4, EOS, PAD], [5, 6, EOS]]
    assert {batch.source_ids.dtype, batch.target_in.dtype, batch.target_out.dtype} == {torch.int64}
    assert (batch.n_step_tokens, batch.position, batch.epochs) == (5, START, 0.0)
    assert make_batch([[]], [[]]).source_ids.tolist() == [[EOS]]
    assert make_batch([[]], [[]]).target_in.tolist() == [[BOS]]
    assert pad([[1], [2, 3]]).tolist() == [[1, PAD], [2, 3]]
    moved = make_batch([[5]], [[6]], 9, Position(1, 2), 1.5).to("meta")
    assert (
        moved.source_ids.device.type == moved.target_in.device.type == moved.target_out.device.type == "meta"
    )
    assert (moved.n_step_tokens, moved.position, moved.epochs) == (9, Position(1, 2), 1.5)


@given(lengths=LENGTHS, max_tokens=BUDGETS, accumulate=st.integers(1, 3), n_ranks=st.integers(1, 3))
@settings(max_examples=50)
def test_ranks_and_accumulation_share_out_one_sequence(
    lengths: Lengths, max_tokens: int, accumulate: int, n_ranks: int
) -> None:
    n_steps = 6
    common = list(islice(stream(lengths, max_tokens=max_tokens), n_steps * accumulate * n_ranks))
    options = {"max_tokens": max_tokens, "accumulate": accumulate, "n_ranks": n_ranks}
    ranks = [
        list(islice(stream(lengths, rank=rank, **options), n_steps * accumulate)) for rank in range(n_ranks)
    ]
    # Interleaved, the ranks' batches are the sequence that a single rank would see.
    in_turns = [batch for together in zip(*ranks, strict=True) for batch in together]
    assert [rows_of(batch) for batch in in_turns] == [rows_of(batch) for batch in common]
    for step in range(n_steps):
        batches = [b for rank in ranks for b in rank[step * accumulate : (step + 1) * accumulate]]
        assert {batch.n_step_tokens for batch in batches} == {sum(map(n_tokens, batches))}
        last = common[(step + 1) * accumulate * n_ranks - 1]
        assert {(batch.position, batch.epochs) for batch in batches} == {(last.position, last.epochs)}


@given(lengths=LENGTHS, max_tokens=BUDGETS)
def test_an_epoch_of_the_stream_has_each_pair_once(lengths: Lengths, max_tokens: int) -> None:
    n = len(plan(lengths, max_tokens))
    batches = islice(stream(lengths, max_tokens=max_tokens), n)
    rows = [row for batch in batches for row in rows_of(batch)]
    assert sorted(rows) == list(range(len(lengths.target)))


@pytest.mark.parametrize("n", [100, 10_000])
def test_a_batch_reads_its_own_rows_and_no_others(n: int) -> None:
    """The work of a step does not grow with the corpus."""
    read: list[list[int]] = []

    class Noted(Numbered):
        def __getitem__(self, rows: list[int], /) -> dict[str, list[list[int]]]:
            read.append(rows)
            return super().__getitem__(rows)

    lengths = realistic(n)
    batches = list(islice(BatchStream(Noted(lengths), planner(lengths, 200)), 20))
    assert read == [rows_of(batch) for batch in batches]
    assert max(map(len, read)) <= 100


def test_position_and_epochs_tell_what_is_done() -> None:
    lengths = realistic(40)
    n = len(plan(lengths, 100))
    batches = list(islice(stream(lengths, max_tokens=100), n + 1))
    assert [batch.position for batch in batches[:n]] == [Position(0, i + 1) for i in range(n)]
    assert [batch.epochs for batch in batches[:n]] == [(i + 1) / n for i in range(n)]
    assert batches[n].position == Position(1, 1)
    assert batches[n].epochs == 1 + 1 / len(plan(lengths, 100, epoch=1))
    # A step that reaches into the next epoch.
    step = next(iter(stream(lengths, max_tokens=100, accumulate=n + 1)))
    assert (step.position, step.epochs) == (batches[n].position, batches[n].epochs)


@pytest.mark.slow
@pytest.mark.parametrize("sample", [None, resegmented], ids=["fixed", "sampled"])
@given(
    lengths=LENGTHS,
    max_tokens=BUDGETS,
    accumulate=st.integers(1, 3),
    ranks=st.sampled_from([(0, 1), (0, 2), (1, 2)]),
)
@settings(max_examples=40)
def test_a_stream_goes_on_from_any_batchs_position(
    sample: object, lengths: Lengths, max_tokens: int, accumulate: int, ranks: tuple[int, int]
) -> None:
    rank, n_ranks = ranks
    options = {"accumulate": accumulate, "rank": rank, "n_ranks": n_ranks, "sample": sample}
    n_steps = 5
    whole = list(islice(stream(lengths, max_tokens=max_tokens, **options), n_steps * accumulate))
    for i, batch in enumerate(whole):
        rest = whole[(i // accumulate + 1) * accumulate :]  # after the step of this batch
        resumed = stream(lengths, max_tokens=max_tokens, start=batch.position, **options)
        assert all(map(same, rest, islice(resumed, len(rest))))
    again = islice(stream(lengths, max_tokens=max_tokens, **options), len(whole))
    assert all(map(same, whole, again))


def test_a_stream_from_another_position_differs() -> None:
    """The control of the test above."""
    lengths = realistic(60)
    whole = list(islice(stream(lengths, max_tokens=120), 10))
    wrong = Position(whole[4].position.epoch, whole[4].position.batch + 1)
    for other in (stream(lengths, max_tokens=120, start=wrong), stream(lengths, max_tokens=120, seed=2)):
        assert not any(map(same, whole[5:], islice(other, 5)))
    sampled = list(islice(stream(lengths, max_tokens=120, sample=resegmented), 5))
    assert not any(map(same, whole[:5], sampled))


def test_a_sample_is_asked_for_by_rows_and_their_own_position() -> None:
    lengths = realistic(60)
    plans = [plan(lengths, 120, epoch=epoch) for epoch in range(2)]
    places = [Position(epoch, i) for epoch, made in enumerate(plans) for i in range(len(made))]
    options = {"max_tokens": 120, "sample": resegmented, "accumulate": len(places)}
    for batch, place in zip(stream(lengths, **options), places, strict=False):
        rows = plans[place.epoch].batch(place.batch).tolist()
        expected = make_batch(*resegmented(rows, place), batch.n_step_tokens, batch.position, batch.epochs)
        assert same(batch, expected)


def test_a_sample_is_asked_for_no_other_rank() -> None:
    lengths = realistic(60)
    asked: list[Position] = []

    def sample(rows: Sequence[int], position: Position) -> tuple[list[list[int]], list[list[int]]]:
        asked.append(position)
        return resegmented(rows, position)[0], Numbered(lengths)[list(rows)]["target_ids"]

    options = {"max_tokens": 120, "accumulate": 2, "n_ranks": 2, "rank": 1}
    kept = list(islice(stream(lengths, sample=sample, keeps_targets=True, **options), 2))
    assert [position.batch for position in asked] == [1, 3]
    of_all = kept[0].n_step_tokens
    counted = list(islice(stream(lengths, sample=sample, sum_over_ranks=lambda _: of_all, **options), 2))
    assert [position.batch for position in asked[2:]] == [1, 3]
    assert all(map(same, kept, counted))


@given(lengths=LENGTHS, accumulate=st.integers(1, 3), n_ranks=st.integers(1, 2))
def test_sampled_lengths_count_in_the_steps_tokens(lengths: Lengths, accumulate: int, n_ranks: int) -> None:
    make = partial(stream, lengths, sample=resegmented, accumulate=accumulate)
    ranks = of_ranks(make, n_ranks, 3 * accumulate)
    for step in range(3):
        batches = [b for rank in ranks for b in rank[step * accumulate : (step + 1) * accumulate]]
        assert {batch.n_step_tokens for batch in batches} == {sum(map(n_tokens, batches))}
