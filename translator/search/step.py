"""The interface through which a search calls a model, and what both kinds of search share."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Stepper(Protocol):
    """A model and its decoding state, which has B sentences with W hypotheses each. Initially, W is 1."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to each hypothesis and return the log-probabilities of the next token.

        Args:
            tokens: (B, W) int64, the token to append to each hypothesis. In the first step, this is the start
                symbol.

        Returns:
            The log-probabilities, (B, W, V) float. The caller may overwrite this tensor.
        """
        ...

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Select the sentences to continue and, in each of them, the hypotheses to continue.

        Args:
            sentences: (B',) int64, indices of the sentences to continue. If all B sentences continue, the
                indices must be in ascending order. Otherwise, any order is allowed.
            parents: (B', W') int64. For each new hypothesis, the index of its parent, the old hypothesis that
                it extends.
        """
        ...


def mask_log_probs(
    log_probs: Tensor, *, forbidden: Sequence[int], end: int, at_start: bool, at_limit: Tensor | None
) -> None:
    """Mask the tokens that must not be chosen in this step: set their log-probabilities to -inf, in place.

    Args:
        log_probs: (B, W, V).
        forbidden: ids of the tokens that are never chosen.
        end: id of the end symbol.
        at_start: whether this step chooses the first token of the outputs. If so, the end symbol is masked.
        at_limit: (B,) bool, True for each sentence that must end in this step. For such a sentence, all
            tokens but the end symbol are masked. None means that no sentence must end.
    """
    log_probs[..., list(forbidden)] = -torch.inf
    if at_start:
        log_probs[..., end] = -torch.inf
    elif at_limit is not None:
        ends = log_probs[at_limit, :, end]
        log_probs[at_limit] = -torch.inf
        log_probs[at_limit, :, end] = ends


def fill_gaps(rows: list[int]) -> list[int]:
    """Choose the new order of the rows that remain in a tensor, so that few of them move.

    The last rows fill the gaps that the removed rows leave. All other rows stay in place.

    Args:
        rows: indices of the remaining rows, in ascending order.

    Returns:
        For each new row, its old index.
    """
    n = len(rows)
    staying = set(rows)
    last = iter(row for row in rows if row >= n)
    return [row if row in staying else next(last) for row in range(n)]
