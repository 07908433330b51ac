"""What a search asks of a model, and what it answers."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Stepper(Protocol):
    """A model in the middle of decoding B sentences with W hypotheses each; W is 1 at the start."""

    def step(self, tokens: Tensor) -> Tensor:
        """Read the last token of each hypothesis and say what may follow.

        Args:
            tokens: (B, W) int64.

        Returns:
            (B, W, V) float log-probabilities; the caller may overwrite them.
        """
        ...

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Go on with some sentences and, in each, with some hypotheses.

        Args:
            sentences: (B',) int64, numbers of the sentences that go on: all in order, or fewer in any.
            parents: (B', W') int64, for each hypothesis to come the one it continues.
        """
        ...


@dataclass(frozen=True)
class Hypothesis:
    """A finished output.

    Attributes:
        ids: its pieces, without start and end symbols.
        log_prob: Σ log p of its pieces and of the end symbol.
        score: `log_prob` / length^α, the end symbol counted.
    """

    ids: list[int]
    log_prob: float
    score: float


#: In place of an output where there is none with a finite score.
NOTHING = Hypothesis([], float("-inf"), float("-inf"))


@dataclass(frozen=True)
class Result:
    """What a search found for one sentence.

    Attributes:
        hypotheses: best first, at most `n_best`, at least one: `NOTHING` where no output with a finite
            score was found.
        margin: the closest call of the whole search: no decision hung on a smaller difference of scores,
            so rounding errors below half of it cannot have changed the result.
    """

    hypotheses: list[Hypothesis]
    margin: float


def mask_log_probs(
    log_probs: Tensor, *, forbidden: Tensor, end: int, at_start: bool, at_limit: Tensor | None
) -> None:
    """Set what may not be chosen to -inf, in place.

    Args:
        log_probs: (B, W, V).
        forbidden: ids that are never chosen.
        end: the end symbol; not chosen at the start, and nothing else is chosen at the limit.
        at_start: whether this is the first token of an output.
        at_limit: (B,) bool, True where the output must end now; None: nowhere.
    """
    log_probs.index_fill_(-1, forbidden, -torch.inf)
    if at_start:
        log_probs[..., end] = -torch.inf
    elif at_limit is not None:
        ends = log_probs[at_limit, :, end]
        log_probs[at_limit] = -torch.inf
        log_probs[at_limit, :, end] = ends


def fill_gaps(rows: list[int]) -> list[int]:
    """Order rows that stay so that few of them move: those beyond the new end go where others have left.

    Args:
        rows: their numbers, rising.
    """
    n = len(rows)
    staying = set(rows)
    last = iter(row for row in rows if row >= n)
    return [row if row in staying else next(last) for row in range(n)]
