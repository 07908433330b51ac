"""Epochs of a corpus that has several sources, each with a share of the target tokens.

A mixed epoch has as many target tokens as all sources together. A source that is small for its share is
therefore repeated within an epoch, and one that is large for its share continues in the next epoch where this
epoch left off. Each pass over a source has an order of its own.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from translator.data.batching import EpochPlan, Lengths, plan_epoch


class Share(NamedTuple):
    """A source of a mix: its name, its number of (consecutive) pairs, and its share of the target tokens."""

    name: str
    n_pairs: int
    fraction: float


class _SourceBatch(NamedTuple):
    progress: float  # fraction of the source's target tokens of the epoch that come before this batch
    rows: Tensor
    n_target_tokens: int
    number: int  # of the pass over the source


def plan_mixed_epoch(
    lengths: Lengths, shares: Sequence[Share], *, max_tokens: int, seed: int, epoch: int
) -> EpochPlan:
    """Group the pairs of an epoch into batches, each of one source, and mix the batches.

    At each point of the epoch, the next batch comes from the source whose number of tokens so far is the
    smallest for its share. With a single source, the result is that of `plan_epoch`.

    Args:
        lengths: lengths of the pairs of all sources, one source after the other.
        shares: the sources.
        max_tokens: see `plan_epoch`.
        seed: see `plan_epoch`.
        epoch: number of the epoch, counted from 0.
    """
    if len(shares) == 1:
        return plan_epoch(lengths, max_tokens=max_tokens, seed=seed, epoch=epoch)
    n_tokens, first, batches = int(lengths.target.sum()), 0, []
    for share in shares:
        own = Lengths(*(side[first : first + share.n_pairs] for side in lengths))
        for batch in _batches(own, share.fraction * n_tokens, max_tokens=max_tokens, seed=seed, epoch=epoch):
            batches.append(batch._replace(rows=first + batch.rows))
        first += share.n_pairs
    batches.sort(key=lambda batch: batch.progress)
    return EpochPlan(
        torch.cat([batch.rows for batch in batches]),
        torch.tensor([0, *accumulate(len(batch.rows) for batch in batches)]),
        torch.tensor([batch.n_target_tokens for batch in batches]),
        torch.tensor([batch.number for batch in batches]),
    )


def _batches(
    lengths: Lengths, n_tokens: float, *, max_tokens: int, seed: int, epoch: int
) -> Iterator[_SourceBatch]:
    """Yield a source's batches of an epoch in which it has `n_tokens` target tokens.

    The batches of all passes over the source form an endless sequence. Of this sequence, the epoch has the
    batches that start between the target tokens `epoch * n_tokens` and `(epoch + 1) * n_tokens`.
    """
    start, end, size = epoch * n_tokens, (epoch + 1) * n_tokens, int(lengths.target.sum())
    number = int(start // size)
    while number * size < end:
        plan = plan_epoch(lengths, max_tokens=max_tokens, seed=seed, epoch=number)
        at = number * size
        for i, n in enumerate(plan.n_target_tokens.tolist()):
            if start <= at < end:
                yield _SourceBatch((at - start) / n_tokens, plan.batch(i), n, number)
            at += n
        number += 1


def mix_facts(lengths: Lengths, shares: Sequence[Share]) -> dict[str, dict[str, float]]:
    """Return the numbers of each source in a mix, by name; without `data.sources`, an empty dictionary.

    The numbers are `pairs`, `target_tokens`, `share` (the fraction of the target tokens that training sees)
    and `passes_per_epoch`.
    """
    facts, first, n_tokens = {}, 0, int(lengths.target.sum())
    for name, n_pairs, fraction in shares:
        own = int(lengths.target[first : first + n_pairs].sum())
        passes = fraction * n_tokens / own
        facts[name] = {"pairs": n_pairs, "target_tokens": own, "share": fraction, "passes_per_epoch": passes}
        first += n_pairs
    return facts if "" not in facts else {}


def mix_messages(lengths: Lengths, shares: Sequence[Share]) -> list[str]:
    """Return a description of each source in a mix, for the user; see `mix_facts`."""
    return [
        f"{name}: {part['pairs']:,} pairs, {part['target_tokens']:,} target tokens, "
        f"{part['share']:.1%} of training, {part['passes_per_epoch']:.2f} passes an epoch"
        for name, part in mix_facts(lengths, shares).items()
    ]
