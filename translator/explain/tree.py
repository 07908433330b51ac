"""The tree of all hypotheses that a beam search considered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from translator.search.result import Hypothesis
from translator.search.scoring import normalised
from translator.search.trace import Trace
from translator.symbols import BOS, EOS


@dataclass(frozen=True)
class Node:
    """A piece that the search considered appending to a hypothesis, whose last piece is in the parent node.

    Attributes:
        piece: token id of the piece; at the root, the id of the start symbol.
        parent: index of the parent in the list of nodes; -1 at the root.
        depth: number of pieces on the path from the root to this node, not counting the start symbol.
        log_prob: Σ log p of the pieces on that path.
        score: if this node finishes a hypothesis, the score `log_prob` / `depth`^α of the hypothesis, where α
            is the length penalty; otherwise None.
        fate: what the search did with the node. "kept" means that it stayed in the beam for the next step,
            "finished" that it completed a hypothesis, "pruned" that it was dropped, and "open" that it was
            still in the beam when the search ended.
        chosen: whether the node is on the path to the translation.
    """

    piece: int
    parent: int
    depth: int
    log_prob: float
    score: float | None
    fate: Literal["kept", "finished", "pruned", "open"]
    chosen: bool = False


def grow(trace: Trace, best: Hypothesis, *, length_penalty: float) -> list[Node]:
    """Build the tree of a search from its trace.

    Args:
        trace: the continuations that each step of the search ranked.
        best: the hypothesis that became the translation.
        length_penalty: α in `Node.score`.

    Returns:
        All nodes: the root, then the nodes of the first step, then the nodes of the second step, and so on.
        The nodes of a step are ordered from best to worst. A parent precedes its children.
    """
    nodes = [Node(BOS, -1, 0, 0.0, None, "kept")]
    live = [0]
    for depth, step in enumerate(trace, start=1):
        next_live = []
        for item in step:
            finished, kept = item.fate == "finished", item.fate == "kept"
            score = normalised(item.log_prob, depth, length_penalty) if finished else None
            fate = "open" if kept and depth == len(trace) else item.fate
            if kept:
                next_live.append(len(nodes))
            nodes.append(Node(item.piece, live[item.parent], depth, item.log_prob, score, fate))
        live = next_live
    for i in path_to(nodes, [*best.ids, EOS]):
        nodes[i] = replace(nodes[i], chosen=True)
    return nodes


def path_to(nodes: Sequence[Node], pieces: Sequence[int]) -> list[int]:
    """Follow `pieces` from the root, and return the indices of the nodes on the path, the root included.

    Raises:
        KeyError: the tree has no such path.
    """
    children = {(node.parent, node.piece): i for i, node in enumerate(nodes)}
    path = [0]
    for piece in pieces:
        path.append(children[path[-1], piece])
    return path
