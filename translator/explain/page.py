"""An explanation as one self-contained HTML page, which loads nothing from the network."""

import base64
import hashlib
import json
import zlib
from functools import cache
from importlib import resources
from typing import Any

import torch

from translator.explain.explanation import AttentionMap, Explanation
from translator.explain.to_json import without_attention

#: The files of the page's script, in the order in which they are concatenated.
SCRIPTS = ("base.js", "maps.js", "words.js", "choices.js", "beam.js", "start.js")

#: Number of characters that the attention maps should not exceed, so that the pages of long sentences and of
#: large models stay below 2 MB.
MAX_CHARACTERS = 1_500_000
#: Each weight is stored as √weight, quantized to a whole number from 0 to one of these numbers. A page uses
#: the first number with which its maps fit into `MAX_CHARACTERS`, or the last if they fit with none.
LEVELS = (255, 63, 15)


@cache
def _template(*names: str) -> str:
    folder = resources.files("translator.explain") / "template"
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def policy() -> str:
    """Return the Content-Security-Policy of the page: only its inline script and style are allowed."""
    script, style = _digest(_template(*SCRIPTS)), _digest(_template("page.css"))
    return f"default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"


def to_html(explanation: Explanation) -> str:
    """Return the self-contained page.

    Text from the user is in a block of JSON, escaped so that it cannot close the block. The script inserts
    this text into the page as text, never as markup.
    """
    parts = {
        "policy": policy(),
        "style": _template("page.css"),
        "script": _template(*SCRIPTS),
        "data": _script_data({**without_attention(explanation), "maps": _maps(explanation)}),
    }
    head, *rest = _template("page.html").split("{{")
    # All placeholders are replaced in one pass, so that `{{` in inserted text is not read as a placeholder.
    return head + "".join(parts[name] + text for name, _, text in (piece.partition("}}") for piece in rest))


def _script_data(facts: dict[str, Any]) -> str:
    """Return JSON for a script element. Each `<` is escaped, since it could start an end tag or a comment."""
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _maps(e: Explanation) -> dict[str, dict[str, Any]]:
    """Return the three attention maps, quantized with the finest of `LEVELS` that fits."""
    attention = {"encoder": e.encoder, "decoder": e.decoder, "cross": e.cross}
    for levels in LEVELS:
        maps = {role: _quantized(weights, levels) for role, weights in attention.items()}
        if sum(len(packed["bytes"]) for packed in maps.values()) <= MAX_CHARACTERS:
            break
    return maps


def _quantized(attention: AttentionMap, levels: int) -> dict[str, Any]:
    """Return an attention map as one byte for each weight, compressed by zlib and encoded in base64.

    The byte is `levels` · √weight, rounded. Thanks to the square root, small weights remain distinguishable.
    """
    values = (attention.weights.sqrt() * levels).round().to(torch.uint8).flatten().tolist()
    compressed = zlib.compress(bytes(values), 9)
    n_layers, n_heads, n_queries, n_keys = attention.weights.shape
    return {
        "layers": n_layers,
        "heads": n_heads,
        "queries": n_queries,
        "keys": n_keys,
        "levels": levels,
        "causal": not bool(attention.mask.all()),
        "bytes": base64.b64encode(compressed).decode(),
    }
