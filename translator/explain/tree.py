"""The tree of the hypotheses of a beam search."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from translator.search.scoring import normalised
from translator.search.step import Hypothesis
from translator.search.trace import Trace
from translator.symbols import BOS, EOS


@dataclass(frozen=True)
class Node:
    """A piece that the search considered, as the continuation of its parent.

    Attributes:
        piece: token id; the start symbol at the root.
        parent: index of the parent in the list of nodes; -1 at the root.
        depth: number of pieces from the root to this node; 0 at the root.
        log_prob: Σ log p of these pieces.
        score: `log_prob` / length^α if this node finishes a hypothesis, else None.
        fate: kept: continued by the next step; finished: the end of a hypothesis; pruned: dropped from the
            beam; open: still in the beam when the search ended.
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
        trace: the steps of the search.
        best: the hypothesis that became the translation.
        length_penalty: α of the search.

    Returns:
        The root, then the nodes of each step, best first. A parent precedes its children.
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
    """Return the indices of the nodes on the path that spells some pieces, starting with the root.

    Raises:
        KeyError: the tree has no such path.
    """
    children = {(node.parent, node.piece): i for i, node in enumerate(nodes)}
    path = [0]
    for piece in pieces:
        path.append(children[path[-1], piece])
    return path
