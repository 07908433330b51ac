"""The page is small and self-contained, and never treats user text as markup."""

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from translator.building import build_model
from translator.data.input_map import map_input
from translator.explain import Explanation, explain, page, policy, to_html
from translator.translation.inference import Translator

pytest_plugins = ("trained",)

HOSTILE = "</script><img src=x onerror=alert(1)> {{script}} <!-- <script> & \u2028 é $x^"
#: In the tokenizer of the tests, these are few pieces each, as in that of a real model.
WORDS = "le chat dort dans la maison un vieux chien chante devant la gare".split()


class Elements(HTMLParser):
    """Collects the elements of a page and the content of its script and style blocks."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, str] = {}
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        self.inside = "facts" if dict(attributes).get("id") == "facts" else tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in ("facts", "script", "style"):
            self.blocks[self.inside] = self.blocks.get(self.inside, "") + data


@pytest.fixture(scope="module")
def larger(translator: Translator) -> Translator:
    """An untrained model as large as those of `configs/`, whose translation is as long as its source."""
    torch.manual_seed(1)
    update = {"width": 128, "n_heads": 8, "feed_forward": 128, "max_length": 256}
    shape = translator.config.model.model_copy(update=update | {"n_encoder_layers": 4, "n_decoder_layers": 4})
    model = build_model(shape, len(translator.tokenizer)).eval()
    search = translator.config.search.model_copy(update={"max_length_ratio": 1.0, "max_length_offset": 1})
    config = translator.config.model_copy(update={"model": shape, "search": search})
    return Translator(model, translator.tokenizer, config)


def facts_of(page: str) -> dict[str, Any]:
    return json.loads(Elements(page).blocks["facts"])


def test_the_page_holds_what_was_found(explanation: Explanation) -> None:
    facts = facts_of(to_html(explanation))
    assert facts["translation"] == explanation.translation
    assert facts["target_pieces"] == explanation.target_pieces
    assert len(facts["beam"]) == len(explanation.nodes)


def test_the_maps_and_a_cell_say_the_same_of_the_roles(explanation: Explanation) -> None:
    said = " ".join(to_html(explanation).split()).replace(" (framed)", "")
    assert (
        said.count(
            "are the same in all three roles. What differs is where queries, keys and values come from, "
        )
        == 2
    )
    assert said.count("come from, the mask, and the learned matrices W of the layer.") == 2


def decoded(packed: dict[str, Any]) -> list[Tensor]:
    """The queries, keys and values of a map in a page, (layers, H, length, E) each."""
    kind = {"float32": torch.float32, "float16": torch.float16}[packed["format"]]
    shape = (packed["layers"], packed["heads"], -1, packed["head_width"])
    return [
        torch.frombuffer(bytearray(base64.b64decode(text)), dtype=kind).view(shape)
        for text in packed["vectors"]
    ]


@pytest.mark.parametrize("role", ["encoder", "decoder", "cross"])
def test_the_page_has_the_vectors_themselves(layered: Translator, role: str) -> None:
    explanation = explain(layered, "La reine chante.")
    packed, shown = facts_of(to_html(explanation))["maps"][role], getattr(explanation, role)
    assert (packed["layers"], packed["heads"], packed["queries"], packed["keys"]) == shown.weights.shape
    queries, keys, values = decoded(packed)
    assert queries.equal(shown.queries)
    assert keys.equal(shown.keys)
    assert values.equal(shown.values)
    assert packed["causal"] == (role == "decoder")
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(packed["head_width"])
    weights = scores.masked_fill(~shown.mask, -math.inf).softmax(-1)
    torch.testing.assert_close(weights, shown.weights, rtol=0, atol=1e-6)
    # Control: without the mask or the scale, the weights are others.
    assert (scores.softmax(-1) - shown.weights).abs().max() > 1e-3 or role != "decoder"
    assert ((2 * scores).softmax(-1) - shown.weights).abs().max() > 1e-3


def test_samples_of_the_matrices_have_a_byte_for_each_weight(layered: Translator) -> None:
    explanation = explain(layered, "La reine chante.")
    packed, samples = facts_of(to_html(explanation))["maps"]["cross"], explanation.cross.projections
    found = torch.tensor(list(base64.b64decode(packed["projections"]))).view(samples.shape)
    assert (packed["sample"], packed["model_width"]) == ([14, 28], 84)
    largest = samples.abs().amax((-2, -1), keepdim=True)
    step = float(largest.max()) / 127
    torch.testing.assert_close((found - 128) / 127 * largest, samples, rtol=0, atol=0.51 * step)
    assert (found.sub(128).abs().amax((-2, -1)) == 127).all()


def test_the_policy_admits_the_pages_own_script_and_style_alone(explanation: Explanation) -> None:
    page = to_html(explanation)
    elements = Elements(page)
    [given] = [a["content"] for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"]
    assert given == policy()
    for block in ("script", "style"):
        digest = hashlib.sha256(elements.blocks[block].encode()).digest()
        assert f"{block}-src 'sha256-{base64.b64encode(digest).decode()}'" in given
    assert given.startswith("default-src 'none';")
    assert "unsafe" not in given
    assert {tag for tag, a in elements.found if {"src", "href", "style"} & set(a)} == set()
    addresses = set(re.findall(r"https?://[^\"' ]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}, "the name of SVG's elements, which is not fetched"


def test_hostile_text_is_no_markup(larger: Translator, explanation: Explanation) -> None:
    [usual, hostile] = [Elements(to_html(e)) for e in (explanation, explain(larger, HOSTILE, prefix=HOSTILE))]
    assert hostile.found == usual.found, "the elements do not depend on the text"
    assert hostile.blocks["script"] == usual.blocks["script"]
    facts = json.loads(hostile.blocks["facts"])
    assert facts["source"] == map_input(HOSTILE)
    assert "{{script}} <!-- <script> & \u2028" in facts["translation"]
    # Control: unescaped, it would be an element.
    assert ("img", {"src": "x", "onerror": "alert(1)"}) in Elements(f"<p>{HOSTILE}</p>").found


@pytest.mark.parametrize("n_words", [3, 15, pytest.param(62, marks=pytest.mark.slow)])
def test_the_page_is_below_two_megabytes(larger: Translator, n_words: int) -> None:
    text = " ".join((WORDS * 8)[:n_words])
    shown = explain(larger, text, beam_size=5)
    assert shown.n_parts == 1
    assert n_words < len(shown.source_pieces) <= len(shown.target_pieces) <= 2 * n_words + 4
    size = len(to_html(shown).encode())
    assert 40_000 < size < 2_000_000


def test_vectors_that_do_not_fit_are_rounded(layered: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = explain(layered, "La reine chante.")
    fine = facts_of(to_html(explanation))["maps"]["cross"]
    monkeypatch.setattr(page, "MAX_CHARACTERS", 0)
    coarse = facts_of(to_html(explanation))["maps"]["cross"]
    assert (fine["format"], coarse["format"]) == ("float32", "float16")
    for exact, rounded in zip(decoded(fine), decoded(coarse), strict=True):
        torch.testing.assert_close(rounded.float(), exact, rtol=2**-11, atol=2**-24)
        assert not rounded.float().equal(exact)


def test_its_files_are_installed_with_the_package() -> None:
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"explain/template/*"' in pyproject


def test_a_tokenizer_cannot_smuggle_markup(explanation: Explanation) -> None:
    odd = replace(
        explanation, node_pieces=["</script>"] * len(explanation.nodes), languages=("<b>", "</script>")
    )
    assert Elements(to_html(odd)).found == Elements(to_html(explanation)).found
