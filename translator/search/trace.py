"""The trace of a beam search: the continuations that the search ranked at each step."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from translator.symbols import EOS

Fate = Literal["kept", "finished", "pruned"]


@dataclass(frozen=True)
class Considered:
    """A continuation that a step of the search ranked.

    Attributes:
        log_prob: Σ log p of the tokens of the continuation, including its new token.
        parent: index of the hypothesis that it extends, among those that the previous step kept.
        piece: id of its new token.
        fate: "finished" if it ends with the end symbol and is among the best W continuations, "kept" if it
            becomes a live hypothesis, "pruned" if it is dropped.
    """

    log_prob: float
    parent: int
    piece: int
    fate: Fate


#: For each step, the continuations that it ranked, the best first. A step that appends a token of the prefix
#: has a single continuation, which is kept.
Trace = list[list[Considered]]


def considered(ranked: Iterable[tuple[float, int, int]], *, beam_size: int) -> list[Considered]:
    """Return the ranked continuations of a sentence, each with its fate.

    Args:
        ranked: for each continuation, the best first, its score, the index of the hypothesis that it extends
            and the id of its new token. Scores of -inf are padding.
        beam_size: W.
    """
    continuations: list[Considered] = []
    n_kept = 0
    for rank, (log_prob, parent, piece) in enumerate(ranked):
        if log_prob == float("-inf"):
            break
        fate: Fate = "pruned"
        if piece == EOS and rank < beam_size:
            fate = "finished"
        elif piece != EOS and n_kept < beam_size:
            fate, n_kept = "kept", n_kept + 1
        continuations.append(Considered(log_prob, parent, piece, fate))
    return continuations
