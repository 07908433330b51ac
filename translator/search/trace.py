"""What a beam search looked at, step by step, for those who want to see it."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from translator.symbols import EOS

Fate = Literal["kept", "finished", "pruned"]


@dataclass(frozen=True)
class Considered:
    """A continuation that a step looked at.

    Attributes:
        log_prob: Σ log p of the hypothesis and this piece.
        parent: the hypothesis that it continues: its number among those that the step before kept.
        piece: id of the piece.
        fate: kept: goes on; finished: ends with the end symbol, among the best W; pruned: left out.
    """

    log_prob: float
    parent: int
    piece: int
    fate: Fate


#: The continuations that each step looked at, best first; a forced piece is a step with one that is kept.
Trace = list[list[Considered]]


def considered(scores: Tensor, parents: Tensor, tokens: Tensor, *, beam_size: int) -> list[Considered]:
    """Say what becomes of the best continuations of a sentence.

    Args:
        scores: (2 W + 1,) best first, -inf where there are not so many.
        parents: (2 W + 1,) hypotheses that they continue.
        tokens: (2 W + 1,) pieces that they add.
        beam_size: W.
    """
    found: list[Considered] = []
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
        found.append(Considered(log_prob, parent, piece, fate))
    return found
