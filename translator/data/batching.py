"""Batches of pairs of similar length. Each batch stays within a token budget, and the batches are shuffled.

Each rank computes the order of all batches of an epoch. This order depends only on the lengths of the pairs,
the seed and the epoch (and on the shares of several sources; see `mixing`). Therefore, training can be
resumed from two numbers, the epoch and the index of the next batch, and each rank knows how many target
tokens all ranks together process in a step.
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
    """A position in the endless sequence of batches: an epoch and the index of a batch in this epoch."""

    epoch: int
    batch: int


START = Position(0, 0)


@dataclass
class Batch:
    """A padded batch of pairs.

    Attributes:
        source_ids: (B, S) int64, encoder input. Each row has one `EOS`, followed only by `PAD`.
        target_in: (B, T) int64, decoder input. Each row starts with `BOS`.
        target_out: (B, T) int64, the token to predict at each position of `target_in`. Each row has one
            `EOS`, followed only by `PAD`.
        n_step_tokens: number of target tokens, without padding, in the optimiser step to which this batch
            belongs: the sum over all batches of the step, on all ranks.
        position: the position from which training resumes after this batch's step.
        epochs: number of epochs that are complete after this batch's step. The number may be fractional.
    """

    source_ids: Tensor
    target_in: Tensor
    target_out: Tensor
    n_step_tokens: int
    position: Position
    epochs: float

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Return a copy of the batch on the given device. For `non_blocking`, see `Tensor.to`."""
        return Batch(
            self.source_ids.to(device, non_blocking=non_blocking),
            self.target_in.to(device, non_blocking=non_blocking),
            self.target_out.to(device, non_blocking=non_blocking),
            self.n_step_tokens,
            self.position,
            self.epochs,
        )

    def shards(self, n: int) -> list["Batch"]:
        """Split the batch into at most `n` shards of consecutive rows with about the same number of tokens.

        Most shards need less padding than the whole batch, because the rows of a batch are sorted by length.
        """
        source_lengths, target_lengths = (self.source_ids != PAD).sum(1), (self.target_out != PAD).sum(1)
        lengths = source_lengths + target_lengths
        done = lengths.cumsum(0)
        middles = done - lengths / 2  # a row belongs to the shard that contains its middle token
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
    """The token ids of a split, indexed by row numbers; for example, a memory-mapped `datasets.Dataset`."""

    def __getitem__(self, rows: list[int], /) -> dict[str, list[list[int]]]:
        """Return the columns `source_ids` and `target_ids` of the given rows, without special tokens."""
        ...


class Lengths(NamedTuple):
    """Lengths of all N sources and all N targets, in tokens including `EOS`. Each tensor is (N,) int32."""

    source: Tensor
    target: Tensor


@dataclass(frozen=True)
class EpochPlan:
    """The batches of one epoch.

    Attributes:
        rows: (N,) int64, row numbers of the N pairs, batch after batch; in a mix, pairs may be repeated.
        bounds: (n_batches + 1,) int64, the index in `rows` at which each batch starts, followed by N.
        n_target_tokens: (n_batches,) int64, number of target tokens of each batch, without padding.
        passes: (n_batches,) int64, number of the pass over its source to which each batch belongs. If it is
            None, all batches belong to the pass that has the number of the epoch.
    """

    rows: Tensor
    bounds: Tensor
    n_target_tokens: Tensor
    passes: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.n_target_tokens)

    def batch(self, index: int) -> Tensor:
        """Return the row numbers of one batch."""
        return self.rows[int(self.bounds[index]) : int(self.bounds[index + 1])]


def plan_epoch(lengths: Lengths, *, max_tokens: int, seed: int, epoch: int) -> EpochPlan:
    """Group all pairs into batches within a token budget and shuffle the batches.

    Args:
        lengths: lengths of the pairs. None of them exceeds `max_tokens`.
        max_tokens: token budget of a batch. The product (number of rows) × (length of the longest row) must
            not exceed it. This applies to the sources and to the targets separately.
        seed: seed that, together with `epoch`, determines two random orders: that of the batches, and that
            in which pairs of equal lengths are put into batches.
        epoch: number of the epoch, counted from 0.
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
    """Group consecutive pairs into batches that fill the token budget. Return bounds as in `EpochPlan`."""
    bounds, start, n = [0], 0, len(target)
    while start < n:
        most = max(1, max_tokens // max(int(source[start]), int(target[start])))
        window = slice(start, min(n, start + most))
        longest = torch.maximum(source[window].cummax(0).values, target[window].cummax(0).values)
        fits = longest * torch.arange(1, len(longest) + 1) <= max_tokens
        start += max(1, int(fits.sum()))  # the rows that fit are always the first ones
        bounds.append(start)
    return torch.tensor(bounds)


class BatchStream(IterableDataset[Batch]):
    """The endless sequence of batches that one rank trains on, epoch after epoch.

    An optimiser step uses the next `accumulate * n_ranks` batches of the sequence. The ranks take these
    batches in turn. If an epoch has fewer batches left, the step also takes batches of the next epoch, so
    that no pair is left out or repeated within an epoch.
    """

    def __init__(
        self,
        pairs: Pairs,
        plan: Callable[[int], EpochPlan],
        *,
        accumulate: int = 1,
        rank: int = 0,
        n_ranks: int = 1,
        start: Position = START,
        sample: Callable[[Sequence[int], Position], tuple[list[list[int]], list[list[int]]]] | None = None,
        keeps_targets: bool = False,
        sum_over_ranks: Callable[[int], int] = int,
    ):
        """Initialise the stream.

        Args:
            pairs: the token ids of the pairs.
            plan: function that returns the batches of an epoch. It depends only on the number of the epoch.
            accumulate: number of batches that each rank contributes to an optimiser step.
            rank: index of this rank.
            n_ranks: number of ranks.
            start: the position of the first batch. To resume, pass the `position` of the last batch that was
                trained on.
            sample: function that applies BPE-dropout and noise. It takes the row numbers and the position of
                a batch, and returns the source ids and target ids to use instead of those in `pairs`. The
                position has the number of the pass over the source in place of the epoch.
            keeps_targets: whether `sample` leaves the targets unchanged. If it does, the target tokens of a
                step are those of the plan.
            sum_over_ranks: function that returns the sum of a number over all ranks, which call it together.
                With it, target tokens are counted if `sample` changes them.
        """
        self.pairs, self.plan = pairs, plan
        self.accumulate, self.rank, self.n_ranks = accumulate, rank, n_ranks
        self.start = start
        self.read = self._as_prepared if sample is None else sample
        self.keeps_targets = keeps_targets or sample is None
        self.sum_over_ranks = sum_over_ranks

    def __iter__(self) -> Iterator[Batch]:
        """Yield this rank's batches endlessly, from `start`."""
        epoch, index = self.start
        plan = self.plan(epoch)
        while True:
            step: list[tuple[Tensor, Position, int]] = []
            while len(step) < self.accumulate * self.n_ranks:
                while index >= len(plan):
                    epoch, index = epoch + 1, 0
                    plan = self.plan(epoch)
                number = epoch if plan.passes is None else int(plan.passes[index])
                step.append((plan.batch(index), Position(number, index), int(plan.n_target_tokens[index])))
                index += 1
            after, epochs = Position(epoch, index), epoch + index / len(plan)
            yield from self._batches(step, after, epochs)

    def _batches(
        self, step: list[tuple[Tensor, Position, int]], after: Position, epochs: float
    ) -> Iterator[Batch]:
        mine = step[self.rank :: self.n_ranks]
        if self.keeps_targets:
            n_tokens = sum(planned for _, _, planned in step)
            for rows, position, _ in mine:
                yield make_batch(*self.read(rows.tolist(), position), n_tokens, after, epochs)
            return
        sampled = [self.read(rows.tolist(), position) for rows, position, _ in mine]
        n_tokens = self.sum_over_ranks(sum(len(ids) + 1 for _, targets in sampled for ids in targets))
        for ids in sampled:
            yield make_batch(*ids, n_tokens, after, epochs)

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
    """Return a `Batch` of the given pairs. `BOS` and `EOS` are added to the ids, and the rows are padded.

    `n_step_tokens` is the number of target tokens in the whole optimiser step. If it is None, the step
    consists of this batch alone, and the number is computed from `targets`.
    """
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
    """Return rows of ids as a (rows, longest row) int64 tensor, padded with `PAD` on the right."""
    length = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (length - len(row))] for row in rows], dtype=torch.int64)


def padding_fraction(lengths: Lengths, plan: EpochPlan) -> float:
    """Return which fraction of all tokens in an epoch's batches, sources and targets together, is padding."""
    padded = 0
    for i in range(len(plan)):
        rows = plan.batch(i)
        padded += len(rows) * (int(lengths.source[rows].max()) + int(lengths.target[rows].max()))
    real = int(lengths.source[plan.rows].sum()) + int(lengths.target[plan.rows].sum())
    return 1 - real / padded
