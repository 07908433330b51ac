"""An explanation as one self-contained HTML page, which loads nothing from the network."""

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

import torch

from translator.explain.attention import AttentionMap
from translator.explain.explanation import Explanation
from translator.explain.to_json import without_attention

#: The files of the page's script and style, in the order in which they are concatenated.
SCRIPTS = ("base.js", "maps.js", "cell.js", "stage.js", "beam.js", "film.js", "start.js")
STYLES = ("page.css", "stage.css")

#: Desired maximum for the total length of the encoded vectors. It keeps the page below 2 MB.
MAX_CHARACTERS = 1_500_000
#: Formats of the vectors. A page uses float32 if its vectors then have at most `MAX_CHARACTERS` characters,
#: and float16 otherwise. This rounds each number to 11 bits, which changes attention weights by about 0.0005.
FORMATS = {"float32": "<f4", "float16": "<f2"}


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
    """Return the data from which the page computes the three attention maps."""
    attention = {"encoder": e.encoder, "decoder": e.decoder, "cross": e.cross}
    for format_name in FORMATS:
        maps = {role: _packed(of_role, format_name) for role, of_role in attention.items()}
        if sum(len(text) for packed in maps.values() for text in packed["vectors"]) <= MAX_CHARACTERS:
            break
    return maps


def _packed(attention: AttentionMap, format_name: str) -> dict[str, Any]:
    """Return an attention map as a value for JSON: its sizes, its vectors and samples of its matrices.

    "vectors" has the queries, the keys and the values, each in base64, indexed [layer][head][position][E] and
    in little-endian byte order. "projections" has one byte for each weight of the samples, indexed
    [layer][head][W_Q, W_K, W_V][row][column]: 128 + 127 · weight / the largest absolute weight of its sample.
    """
    vectors = (attention.queries, attention.keys, attention.values)
    largest = attention.projections.abs().amax((-2, -1), keepdim=True).clamp_min(1e-9)
    samples = (128 + 127 * attention.projections / largest).round().to(torch.uint8)
    n_layers, n_heads, n_queries, n_keys = attention.weights.shape
    return {
        "layers": n_layers,
        "heads": n_heads,
        "queries": n_queries,
        "keys": n_keys,
        "head_width": attention.queries.size(-1),
        "model_width": attention.model_width,
        "causal": not bool(attention.mask.all()),
        "format": format_name,
        "vectors": [_base64(x.numpy().astype(FORMATS[format_name]).tobytes()) for x in vectors],
        "sample": list(samples.shape[-2:]),
        "projections": _base64(samples.numpy().tobytes()),
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
