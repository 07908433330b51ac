"""An explanation as plain numbers and strings, for other programs."""

from typing import Any

from torch import Tensor

from translator.explain.explanation import AttentionMap, Explanation


def to_json(explanation: Explanation) -> dict[str, Any]:
    """Return everything that is shown, fit for `json.dumps`.

    Maps are lists [layer][head][query][key], with `null` where a query may not look; `average` is that over
    all layers and heads. Weights and probabilities have six decimals. See `Explanation` for what the rest
    means.
    """
    e = explanation
    return {
        "source": e.source,
        "translation": e.translation,
        "languages": list(e.languages),
        "score": e.score,
        "log_prob": e.log_prob,
        "beam_size": e.beam_size,
        "parts": e.n_parts,
        "source_pieces": e.source_pieces,
        "target_pieces": e.target_pieces,
        "source_words": e.source_words,
        "target_words": e.target_words,
        "source_owners": e.source_owners,
        "target_owners": e.target_owners,
        "alignment": [list(link) for link in e.links],
        "attention": {
            "encoder": _map(e.encoder),
            "decoder": _map(e.decoder),
            "cross": _map(e.cross),
        },
        "choices": [
            {
                "piece": piece,
                "probability": round(choice.probability, 6),
                "forced": choice.forced,
                "alternatives": [
                    {"piece": other, "probability": round(probability, 6)}
                    for other, probability in choice.alternatives
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
        "hypotheses": [{"node": number, "text": text} for number, text in e.hypotheses],
    }


def _map(shown: AttentionMap) -> dict[str, Any]:
    mask = shown.mask.tolist()
    return {
        "average": _rows(shown.average, mask),
        "heads": [[_rows(head, mask) for head in layer] for layer in shown.weights],
    }


def _rows(weights: Tensor, mask: list[list[bool]]) -> list[list[float | None]]:
    return [
        [round(value, 6) if may else None for value, may in zip(row, looked_at, strict=True)]
        for row, looked_at in zip(weights.tolist(), mask, strict=True)
    ]
