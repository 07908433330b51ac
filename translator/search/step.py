"""The interface of a search: the model it steps, its options and its results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Stepper(Protocol):
    """The decoding state of a model: B sentences with W hypotheses each. At the start W is 1."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to each hypothesis and return the log-probabilities of the next.

        Args:
            tokens: (B, W) int64, the last token of each hypothesis.

        Returns:
            (B, W, V) float; the caller may overwrite them.
        """
        ...

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Select sentences and, in each, the hypotheses to continue.

        Args:
            sentences: (B',) int64, indices of the remaining sentences: all of them in order, or fewer in any
                order.
            parents: (B', W') int64, for each new hypothesis the index of the one that it continues.
        """
        ...


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search.

    Attributes:
        beam_size: W, the number of hypotheses kept.
        length_penalty: α of `scoring.normalised`.
        forbidden: (n,) int64, token ids that are never chosen, on the device of the search.
        n_best: hypotheses wanted for each sentence, at most `beam_size`.
        prefix: token ids that every output starts with. They count in its score and length.
    """

    beam_size: int
    length_penalty: float
    forbidden: Tensor
    n_best: int = 1
    prefix: Sequence[int] = ()


@dataclass(frozen=True)
class Hypothesis:
    """A finished hypothesis.

    Attributes:
        ids: token ids, without start and end symbols.
        log_prob: Σ log p of its tokens and of the end symbol.
        score: `log_prob` / length^α, where the length includes the end symbol.
    """

    ids: list[int]
    log_prob: float
    score: float


#: The hypothesis of a sentence for which no output has a finite score.
NOTHING = Hypothesis([], float("-inf"), float("-inf"))


@dataclass(frozen=True)
class Result:
    """The result of a search for one sentence.

    Attributes:
        hypotheses: best first, at most `n_best` and at least one, which is `NOTHING` if no output has a
            finite score.
        margin: the smallest score difference that decided anything in the search. Rounding errors below half
            of it cannot change the result.
    """

    hypotheses: list[Hypothesis]
    margin: float


def mask_log_probs(
    log_probs: Tensor, *, forbidden: Tensor, end: int, at_start: bool, at_limit: Tensor | None
) -> None:
    """Set the log-probabilities of tokens that may not be chosen to -inf, in place.

    Args:
        log_probs: (B, W, V).
        forbidden: token ids that are never chosen.
        end: the end symbol: masked at the start, and the only token left at the limit.
        at_start: whether this is the first token of an output.
        at_limit: (B,) bool, True for sentences that must end now; None: no sentence must.
    """
    log_probs.index_fill_(-1, forbidden, -torch.inf)
    if at_start:
        log_probs[..., end] = -torch.inf
    elif at_limit is not None:
        ends = log_probs[at_limit, :, end]
        log_probs[at_limit] = -torch.inf
        log_probs[at_limit, :, end] = ends


def fill_gaps(rows: list[int]) -> list[int]:
    """Order the remaining rows so that few of them move: the last ones fill the gaps left by removed ones.

    Args:
        rows: indices of the remaining rows, ascending.
    """
    n = len(rows)
    staying = set(rows)
    last = iter(row for row in rows if row >= n)
    return [row if row in staying else next(last) for row in range(n)]
