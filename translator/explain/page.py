"""An explanation as one page that needs nothing else: no network, no other file."""

import base64
import hashlib
import json
import zlib
from functools import cache
from importlib import resources
from typing import Any

import torch

from translator.explain.explanation import AttentionMap, Explanation

#: The script's files, in the order in which they are joined.
SCRIPTS = ("base.js", "maps.js", "words.js", "choices.js", "beam.js", "start.js")

#: Most characters of the maps in a page, and how finely √weight is written: the first that fits is taken.
#: The maps of long sentences and large models are coarser, so that the page stays below 2 MB.
MAX_CHARACTERS = 1_500_000
LEVELS = (255, 63, 15)


@cache
def _template(*names: str) -> str:
    folder = resources.files("translator.explain") / "template"
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def policy() -> str:
    """Return the page's Content-Security-Policy: its own script and style, and nothing from anywhere."""
    script, style = _digest(_template(*SCRIPTS)), _digest(_template("page.css"))
    return f"default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"


def to_html(explanation: Explanation) -> str:
    """Return the page, self-contained.

    What a user gave stands in a block of JSON, in which nothing can end that block, and is put into the page
    as text alone.
    """
    parts = {
        "policy": policy(),
        "style": _template("page.css"),
        "script": _template(*SCRIPTS),
        "data": _script_data(_facts(explanation)),
    }
    head, *rest = _template("page.html").split("{{")
    # One pass: what has been put in is not searched for more places.
    return head + "".join(parts[name] + text for name, _, text in (piece.partition("}}") for piece in rest))


def _script_data(facts: dict[str, Any]) -> str:
    """JSON that may stand in a script element: no `<`, so neither an end of it nor a comment."""
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _facts(e: Explanation) -> dict[str, Any]:
    """What the script reads."""
    return {
        "source": e.source,
        "translation": e.translation,
        "languages": e.languages,
        "score": round(e.score, 6),
        "logProb": round(e.log_prob, 6),
        "beamSize": e.beam_size,
        "nParts": e.n_parts,
        "sourcePieces": e.source_pieces,
        "targetPieces": e.target_pieces,
        "sourceWords": e.source_words,
        "targetWords": e.target_words,
        "sourceOwners": e.source_owners,
        "targetOwners": e.target_owners,
        "links": e.links,
        "maps": _maps(e),
        "hypotheses": e.hypotheses,
        "choices": [[c.probability, c.forced, c.alternatives] for c in e.choices],
        "nodes": [
            [piece, n.parent, n.depth, round(n.log_prob, 4), n.score, n.fate, n.chosen]
            for piece, n in zip(e.node_pieces, e.nodes, strict=True)
        ],
    }


def _maps(e: Explanation) -> dict[str, dict[str, Any]]:
    """The three maps, as finely as there is room for."""
    roles = {"encoder": e.encoder, "decoder": e.decoder, "cross": e.cross}
    for levels in LEVELS:
        found = {role: _packed(shown, levels) for role, shown in roles.items()}
        if sum(len(packed["bytes"]) for packed in found.values()) <= MAX_CHARACTERS:
            break
    return found


def _packed(shown: AttentionMap, levels: int) -> dict[str, Any]:
    """A map in bytes, `levels` · √weight, so that small weights are told apart; deflated, in base64."""
    coarse = (shown.weights.sqrt() * levels).round().to(torch.uint8).flatten().tolist()
    squeezed = zlib.compress(bytes(coarse), 9)
    n_layers, n_heads, n_queries, n_keys = shown.weights.shape
    return {
        "layers": n_layers,
        "heads": n_heads,
        "queries": n_queries,
        "keys": n_keys,
        "levels": levels,
        "causal": not bool(shown.mask.all()),
        "bytes": base64.b64encode(squeezed).decode(),
    }
