"""Batches: which pairs go together, in which order, and where in that order training is.

Pairs of like length share a batch, so that little of it is padding; a batch holds as many pairs as its
token budget lets in; batches come in random order. All of it is a pure function of (lengths, seed,
epoch), the same on every rank, so a position is two numbers and every rank knows how many target tokens
all ranks see in a step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from translator.symbols import BOS, EOS, PAD


class Position(NamedTuple):
    """A place in the endless sequence of batches: the next one to come."""

    epoch: int
    batch: int


START = Position(0, 0)


@dataclass
class Batch:
    """Pairs ready for the model.

    Attributes:
        source_ids: (B, S) int64, each row ending in `EOS`, then `PAD`.
        target_in: (B, T) int64, beginning with `BOS`: what the decoder reads.
        target_out: (B, T) int64, ending in `EOS`: what it should say next.
        n_step_tokens: real target tokens of the whole optimiser step, over all its batches and ranks.
        position: what comes after this batch's step.
        epochs: passes over the data that are done after this batch, a fraction.
    """

    source_ids: Tensor
    target_in: Tensor
    target_out: Tensor
    n_step_tokens: int
    position: Position
    epochs: float

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Return the batch on another device."""
        return Batch(
            self.source_ids.to(device, non_blocking=non_blocking),
            self.target_in.to(device, non_blocking=non_blocking),
            self.target_out.to(device, non_blocking=non_blocking),
            self.n_step_tokens,
            self.position,
            self.epochs,
        )

    def shards(self, n: int) -> list["Batch"]:
        """Cut the batch into at most `n` runs of rows with about as many real tokens each.

        Rows of a batch are in order of length, so each shard sheds some of the padding.
        """
        source_lengths, target_lengths = (self.source_ids != PAD).sum(1), (self.target_out != PAD).sum(1)
        lengths = source_lengths + target_lengths
        done = lengths.cumsum(0)
        middles = done - lengths / 2  # a row goes where most of it lies
        bounds = torch.searchsorted(middles, done[-1] * torch.arange(n + 1) / n).tolist()
        shards = []
        for start, end in pairwise([0, *bounds[1:-1], len(done)]):
            if start < end:
                rows = slice(start, end)
                source, target = int(source_lengths[rows].max()), int(target_lengths[rows].max())
                shards.append(
                    replace(
                        self,
                        source_ids=self.source_ids[rows, :source],
                        target_in=self.target_in[rows, :target],
                        target_out=self.target_out[rows, :target],
                    )
                )
        return shards


class Pairs(Protocol):
    """Token ids of a split, read by row numbers; a memory-mapped `datasets.Dataset` is one."""

    def __getitem__(self, rows: list[int], /) -> dict[str, list[list[int]]]:
        """Return `source_ids` and `target_ids` of some rows, without special pieces."""
        ...


class Lengths(NamedTuple):
    """Length of each pair's sides in pieces, end symbol included: (N,) int32 each, 8 bytes a pair."""

    source: Tensor
    target: Tensor


@dataclass(frozen=True)
class EpochPlan:
    """The batches of one epoch.

    Attributes:
        rows: (N,) int64, row numbers of all pairs, batch after batch.
        bounds: (n_batches + 1,) int64, where in `rows` each batch begins.
        n_target_tokens: (n_batches,) int64, real target tokens of each.
    """

    rows: Tensor
    bounds: Tensor
    n_target_tokens: Tensor

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.n_target_tokens)

    def batch(self, index: int) -> Tensor:
        """Return the row numbers of one batch."""
        return self.rows[int(self.bounds[index]) : int(self.bounds[index + 1])]


def plan_epoch(lengths: Lengths, *, max_tokens: int, seed: int, epoch: int) -> EpochPlan:
    """Group all pairs into batches within a token budget and shuffle the batches.

    Args:
        lengths: of the pairs, none above `max_tokens`.
        max_tokens: most that rows × longest row may be, on each side by itself.
        seed: with `epoch`, decides the order among pairs of equal lengths and of the batches.
        epoch: from 0.
    """
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    order = torch.randperm(len(lengths.target), generator=generator)
    order = order[torch.argsort(lengths.source[order], stable=True)]
    order = order[torch.argsort(lengths.target[order], stable=True)]
    bounds = _cut(lengths.source[order], lengths.target[order], max_tokens)
    sizes = bounds.diff()
    shuffled = torch.randperm(len(sizes), generator=generator)
    rows = torch.cat([order[bounds[i] : bounds[i + 1]] for i in shuffled.tolist()])
    new_bounds = torch.cat([torch.zeros(1, dtype=torch.int64), sizes[shuffled].cumsum(0)])
    token_sums = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.target[rows].cumsum(0)])
    return EpochPlan(rows, new_bounds, token_sums[new_bounds].diff())


def _cut(source: Tensor, target: Tensor, max_tokens: int) -> Tensor:
    """Cut pairs in order into the longest runs within the budget; return their bounds."""
    bounds, start, n = [0], 0, len(target)
    while start < n:
        most = max(1, max_tokens // max(int(source[start]), int(target[start])))
        window = slice(start, min(n, start + most))
        longest = torch.maximum(source[window].cummax(0).values, target[window].cummax(0).values)
        fits = longest * torch.arange(1, len(longest) + 1) <= max_tokens
        start += max(1, int(fits.sum()))  # `longest × count` only rises, so the fitting ones come first
        bounds.append(start)
    return torch.tensor(bounds)


class BatchStream(IterableDataset[Batch]):
    """The endless sequence of batches that one rank trains on, epoch after epoch.

    A step takes `accumulate` batches on each of `n_ranks` ranks, the next ones of the common sequence, and
    may reach into the next epoch, so that no pair is dropped or seen twice in one.
    """

    def __init__(
        self,
        pairs: Pairs,
        lengths: Lengths,
        *,
        max_tokens: int,
        seed: int,
        accumulate: int = 1,
        rank: int = 0,
        n_ranks: int = 1,
        start: Position = START,
        sample: Callable[[Sequence[int], Position], tuple[list[list[int]], list[list[int]]]] | None = None,
        keeps_targets: bool = False,
    ):
        """Make a stream.

        Args:
            pairs: the token ids.
            lengths: their lengths.
            max_tokens: see `plan_epoch`.
            seed: see `plan_epoch`.
            accumulate: batches of each rank in a step.
            rank: this rank.
            n_ranks: how many there are.
            start: where to begin; the position of the last batch trained on.
            sample: gives other pieces of some rows at a position, in place of `pairs`' own.
            keeps_targets: whether `sample` leaves targets as they are. If not, each rank draws those of all
                ranks, to count them.
        """
        self.pairs, self.lengths, self.max_tokens, self.seed = pairs, lengths, max_tokens, seed
        self.accumulate, self.rank, self.n_ranks = accumulate, rank, n_ranks
        self.start = start
        self.read = self._as_prepared if sample is None else sample
        self.keeps_targets = keeps_targets or sample is None

    def __iter__(self) -> Iterator[Batch]:
        """Yield this rank's batches without end, from `start`."""
        epoch, index = self.start
        plan = self._plan(epoch)
        while True:
            step: list[tuple[Tensor, Position, int]] = []
            while len(step) < self.accumulate * self.n_ranks:
                if index >= len(plan):
                    epoch, index = epoch + 1, 0
                    plan = self._plan(epoch)
                step.append((plan.batch(index), Position(epoch, index), int(plan.n_target_tokens[index])))
                index += 1
            after, epochs = Position(epoch, index), epoch + index / len(plan)
            yield from self._batches(step, after, epochs)

    def _plan(self, epoch: int) -> EpochPlan:
        return plan_epoch(self.lengths, max_tokens=self.max_tokens, seed=self.seed, epoch=epoch)

    def _batches(
        self, step: list[tuple[Tensor, Position, int]], after: Position, epochs: float
    ) -> Iterator[Batch]:
        mine = range(self.rank, len(step), self.n_ranks)
        if self.keeps_targets:
            n_tokens = sum(planned for _, _, planned in step)
            for i in mine:
                rows, position, _ = step[i]
                yield make_batch(*self.read(rows.tolist(), position), n_tokens, after, epochs)
            return
        sampled = [self.read(rows.tolist(), position) for rows, position, _ in step]
        n_tokens = sum(len(ids) + 1 for _, targets in sampled for ids in targets)
        for i in mine:
            yield make_batch(*sampled[i], n_tokens, after, epochs)

    def _as_prepared(
        self, rows: Sequence[int], position: Position
    ) -> tuple[list[list[int]], list[list[int]]]:
        ids = self.pairs[list(rows)]
        return ids["source_ids"], ids["target_ids"]


def make_batch(
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    n_step_tokens: int | None = None,
    position: Position = START,
    epochs: float = 0.0,
) -> Batch:
    """Pad some pairs of ids, without special pieces, into a batch (see `Batch`)."""
    if n_step_tokens is None:
        n_step_tokens = sum(len(ids) + 1 for ids in targets)
    return Batch(
        pad([[*ids, EOS] for ids in sources]),
        pad([[BOS, *ids] for ids in targets]),
        pad([[*ids, EOS] for ids in targets]),
        n_step_tokens,
        position,
        epochs,
    )


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return rows of ids as one (B, longest) int64 tensor, filled up with `PAD`."""
    length = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (length - len(row))] for row in rows], dtype=torch.int64)


def padding_share(lengths: Lengths, plan: EpochPlan) -> float:
    """Return the share of padding among all positions of an epoch's batches, both sides together."""
    padded = 0
    for i in range(len(plan)):
        rows = plan.batch(i)
        padded += len(rows) * (int(lengths.source[rows].max()) + int(lengths.target[rows].max()))
    real = int(lengths.source.sum()) + int(lengths.target.sum())
    return 1 - real / padded
