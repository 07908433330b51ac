"""A trace of a beam search: the continuations that it ranked at each step."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from translator.symbols import EOS

Fate = Literal["kept", "finished", "pruned"]


@dataclass(frozen=True)
class Considered:
    """A continuation that a step ranked.

    Attributes:
        log_prob: Σ log p, the new token included.
        parent: index of the hypothesis that it continues, among those that the previous step kept.
        piece: id of the new token.
        fate: kept: stays in the beam; finished: ends with the end symbol, among the best W; pruned: neither.
    """

    log_prob: float
    parent: int
    piece: int
    fate: Fate


#: The continuations of each step, best first. A step of the prefix has a single one, which is kept.
Trace = list[list[Considered]]


def considered(scores: Tensor, parents: Tensor, tokens: Tensor, *, beam_size: int) -> list[Considered]:
    """Return the best continuations of a sentence, each with its fate.

    Args:
        scores: (2 W + 1,) best first, padded with -inf.
        parents: (2 W + 1,) indices of the hypotheses that they continue.
        tokens: (2 W + 1,) ids of the new tokens.
        beam_size: W.
    """
    continuations: list[Considered] = []
    n_kept = 0
    rows = zip(scores.tolist(), parents.tolist(), tokens.tolist(), strict=True)
    for rank, (log_prob, parent, piece) in enumerate(rows):
        if log_prob == float("-inf"):
            break
        fate: Fate = "pruned"
        if piece == EOS and rank < beam_size:
            fate = "finished"
        elif piece != EOS and n_kept < beam_size:
            fate, n_kept = "kept", n_kept + 1
        continuations.append(Considered(log_prob, parent, piece, fate))
    return continuations
