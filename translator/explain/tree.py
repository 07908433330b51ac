"""A beam search as the tree that it grew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from translator.search.scoring import normalised
from translator.search.step import Hypothesis
from translator.search.trace import Trace
from translator.symbols import BOS, EOS


@dataclass(frozen=True)
class Node:
    """A piece that the search looked at, after those on the way to it from the root.

    Attributes:
        piece: its id; the root's is the start symbol.
        parent: number of the node before it in the list; -1 of the root.
        depth: pieces on the way to it, itself counted; 0 of the root.
        log_prob: Σ log p of them.
        score: `log_prob` / length^α if this is the end symbol of a finished hypothesis.
        fate: kept: the search went on from it; finished: a whole hypothesis; pruned: left out; open: still
            in the beam when the search ended.
        chosen: whether it is on the way to the translation.
    """

    piece: int
    parent: int
    depth: int
    log_prob: float
    score: float | None
    fate: Literal["kept", "finished", "pruned", "open"]
    chosen: bool = False


def grow(trace: Trace, best: Hypothesis, *, length_penalty: float) -> list[Node]:
    """Make a tree of the steps of a search.

    Args:
        trace: of the search.
        best: the hypothesis that it found.
        length_penalty: α of the search.

    Returns:
        The root and then the nodes of each step, best first; a node's parent stands before it.
    """
    nodes = [Node(BOS, -1, 0, 0.0, None, "kept")]
    live = [0]
    for depth, step in enumerate(trace, start=1):
        following = []
        for found in step:
            finished, kept = found.fate == "finished", found.fate == "kept"
            score = normalised(found.log_prob, depth, length_penalty) if finished else None
            fate = "open" if kept and depth == len(trace) else found.fate
            if kept:
                following.append(len(nodes))
            nodes.append(Node(found.piece, live[found.parent], depth, found.log_prob, score, fate))
        live = following
    for number in way_to(nodes, [*best.ids, EOS]):
        nodes[number] = replace(nodes[number], chosen=True)
    return nodes


def way_to(nodes: Sequence[Node], pieces: Sequence[int]) -> list[int]:
    """Return the numbers of the nodes that spell some pieces, the root first; a beam has no two alike."""
    numbers = {(node.parent, node.piece): number for number, node in enumerate(nodes)}
    way = [0]
    for piece in pieces:
        way.append(numbers[way[-1], piece])
    return way
