"""The interface of a search: the model that it calls, its options and its results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Stepper(Protocol):
    """A model and its decoding state: B sentences with W hypotheses each. At the start, W is 1."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to each hypothesis and return the log-probabilities of the next token.

        Args:
            tokens: (B, W) int64, the token to append to each hypothesis; the start symbol at first.

        Returns:
            (B, W, V) float. The caller may overwrite the tensor.
        """
        ...

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Select the sentences to continue and, in each of them, the hypotheses to continue.

        Args:
            sentences: (B',) int64, indices of the remaining sentences: all of them in order, or fewer in any
                order.
            parents: (B', W') int64, for each new hypothesis the index of the hypothesis that it continues.
        """
        ...


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search.

    Attributes:
        beam_size: W, the number of hypotheses kept at each step.
        length_penalty: α of `scoring.normalised`.
        forbidden: (n,) int64, token ids that are never chosen. The tensor is on the device of the search.
        n_best: number of hypotheses wanted for each sentence, at most `beam_size`.
        prefix: token ids that every output starts with. They count in the score and the length of the output.
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
        log_prob: Σ log p of the tokens and of the end symbol.
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
        hypotheses: best first, at least one and at most `n_best`. If no output has a finite score, the only
            hypothesis is `NOTHING`.
        margin: the smallest score difference on which a decision of the search depended. Rounding errors
            below half of this difference cannot change the result.
    """

    hypotheses: list[Hypothesis]
    margin: float


def mask_log_probs(
    log_probs: Tensor, *, forbidden: Tensor, end: int, at_start: bool, at_limit: Tensor | None
) -> None:
    """Set the log-probabilities of all tokens that must not be chosen now to -inf, in place.

    Args:
        log_probs: (B, W, V).
        forbidden: token ids that are never chosen.
        end: id of the end symbol. It is masked at the start. For a sentence that must end now, all other
            tokens are masked.
        at_start: whether the first token of the outputs is chosen.
        at_limit: (B,) bool, True for sentences that must end now; None: no sentence must end now.
    """
    log_probs.index_fill_(-1, forbidden, -torch.inf)
    if at_start:
        log_probs[..., end] = -torch.inf
    elif at_limit is not None:
        ends = log_probs[at_limit, :, end]
        log_probs[at_limit] = -torch.inf
        log_probs[at_limit, :, end] = ends


def fill_gaps(rows: list[int]) -> list[int]:
    """Order the remaining rows so that few of them move: the last rows fill the gaps that removed rows leave.

    Args:
        rows: indices of the remaining rows, ascending.

    Returns:
        The same indices, in the new order.
    """
    n = len(rows)
    staying = set(rows)
    last = iter(row for row in rows if row >= n)
    return [row if row in staying else next(last) for row in range(n)]
