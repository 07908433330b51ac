"""An explanation as JSON, for other programs and for the page."""

from dataclasses import asdict
from typing import Any

from torch import Tensor

from translator.explain.attention import AttentionMap
from translator.explain.explanation import Explanation


def to_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as a value for `json.dumps`.

    Each attention map becomes a dictionary with two keys: "heads" has the weights as nested lists, indexed
    [layer][head][query][key], and "average" has their mean over all layers and heads, indexed [query][key].
    Masked weights are None. "vectors" has, for each kind of attention, "queries" (layers, H, Q, E), "keys"
    (layers, H, K, E) and "values" (layers, H, K, E) as nested lists; H is the number of heads and E the width
    of a head. Vectors, weights and probabilities are rounded to six decimals. `Explanation` describes the
    other values.
    """
    e = explanation
    attention = {"encoder": e.encoder, "decoder": e.decoder, "cross": e.cross}
    return {
        **without_attention(e),
        "attention": {role: _map(of_role) for role, of_role in attention.items()},
        "vectors": {role: _vectors(of_role) for role, of_role in attention.items()},
    }


def without_attention(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as a value for `json.dumps`, without the attention maps."""
    e = explanation
    return {
        "source": e.source,
        "translation": e.translation,
        "languages": list(e.languages),
        "score": e.score,
        "log_prob": e.log_prob,
        "length_penalty": e.length_penalty,
        "beam_size": e.beam_size,
        "parts": e.n_parts,
        "confidence": None if e.confidence is None else asdict(e.confidence),
        "is_source_language": e.is_source_language,
        "source_pieces": e.source_pieces,
        "target_pieces": e.target_pieces,
        "source_words": e.source_words,
        "target_words": e.target_words,
        "source_owners": e.source_owners,
        "target_owners": e.target_owners,
        "alignment": [list(link) for link in e.links],
        "choices": [
            {
                "piece": piece,
                "probability": round(choice.probability, 6),
                "forced": choice.forced,
                "alternatives": [
                    {"piece": other, "probability": round(p, 6)} for other, p in choice.alternatives
                ],
            }
            for piece, choice in zip(e.target_pieces, e.choices, strict=True)
        ],
        "beam": [
            {
                "piece": piece,
                "parent": node.parent,
                "depth": node.depth,
                "log_prob": round(node.log_prob, 6),
                "score": None if node.score is None else round(node.score, 6),
                "fate": node.fate,
                "chosen": node.chosen,
            }
            for piece, node in zip(e.node_pieces, e.nodes, strict=True)
        ],
        "hypotheses": [{"node": node, "text": text} for node, text in e.hypotheses],
        **e.about,
    }


def _map(attention: AttentionMap) -> dict[str, Any]:
    mask = attention.mask.tolist()
    return {
        "average": _rows(attention.average, mask),
        "heads": [[_rows(head, mask) for head in layer] for layer in attention.weights],
    }


def _vectors(attention: AttentionMap) -> dict[str, Any]:
    vectors = {"queries": attention.queries, "keys": attention.keys, "values": attention.values}
    return {name: x.double().round(decimals=6).tolist() for name, x in vectors.items()}


def _rows(weights: Tensor, mask: list[list[bool]]) -> list[list[float | None]]:
    return [
        [round(value, 6) if visible else None for value, visible in zip(row, mask_row, strict=True)]
        for row, mask_row in zip(weights.tolist(), mask, strict=True)
    ]
