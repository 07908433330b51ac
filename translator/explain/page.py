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

#: The files of the page's script and style, in the order in which they are concatenated.
SCRIPTS = ("base.js", "maps.js", "stage.js", "beam.js", "film.js", "start.js")
STYLES = ("page.css", "stage.css")

#: Desired maximum for the total length of the encoded attention maps. It keeps the page below 2 MB even if
#: the sentence is long or the model is large.
MAX_CHARACTERS = 1_500_000
#: Each attention weight is stored as the integer nearest to n · √weight, where n is one of these numbers. A
#: page uses the largest n with which its maps have at most `MAX_CHARACTERS` characters. If there is none, it
#: uses the smallest n.
LEVELS = (255, 63, 15)


@cache
def _template(*names: str) -> str:
    folder = resources.files("translator.explain") / "template"
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def policy() -> str:
    """Return the Content-Security-Policy of the page: only its inline script and style are allowed."""
    script, style = _digest(_template(*SCRIPTS)), _digest(_template(*STYLES))
    return f"default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"


def to_html(explanation: Explanation) -> str:
    """Return an explanation as a self-contained HTML page.

    Text from the user is put into a block of JSON, where it is escaped so that it cannot close the block. The
    script of the page then displays it as text, never as markup.
    """
    parts = {
        "policy": policy(),
        "style": _template(*STYLES),
        "script": _template(*SCRIPTS),
        "data": _script_data({**without_attention(explanation), "maps": _maps(explanation)}),
    }
    head, *rest = _template("page.html").split("{{")
    # All placeholders are replaced in one pass, so that `{{` in inserted text is not read as a placeholder.
    return head + "".join(parts[name] + text for name, _, text in (piece.partition("}}") for piece in rest))


def _script_data(facts: dict[str, Any]) -> str:
    """Return JSON for a script element. Each `<` is escaped, so that none starts an end tag or a comment."""
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _maps(e: Explanation) -> dict[str, dict[str, Any]]:
    """Return the three attention maps, quantized as the comment on `LEVELS` describes."""
    attention = {"encoder": e.encoder, "decoder": e.decoder, "cross": e.cross}
    for levels in LEVELS:
        maps = {role: _quantized(weights, levels) for role, weights in attention.items()}
        if sum(len(packed["bytes"]) for packed in maps.values()) <= MAX_CHARACTERS:
            break
    return maps


def _quantized(attention: AttentionMap, levels: int) -> dict[str, Any]:
    """Return an attention map as a value for JSON: its sizes, whether it is causal, and its weights.

    Each weight becomes one byte, `levels` · √weight, rounded. The square root keeps small weights
    distinguishable. The bytes are compressed with zlib and encoded in base64.
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
