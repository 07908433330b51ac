"""The page is small and self-contained, and never treats user text as markup."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from translator.building import build_model
from translator.data.input_map import map_input
from translator.explain import Explanation, explain, page, policy, to_html
from translator.translation.inference import Translator

pytest_plugins = ("trained",)

HOSTILE = "</script><img src=x onerror=alert(1)> {{script}} <!-- <script> & \u2028 é $x^"
WORDS = "une petite fille grimpe dans la maison de sa voisine et le vieux chien dort sous".split()


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
    """An untrained model as large as those of `configs/`: its irregular attention compresses worst."""
    torch.manual_seed(1)
    update = {"width": 128, "n_heads": 8, "feed_forward": 128, "max_length": 256}
    shape = translator.config.model.model_copy(update=update | {"n_encoder_layers": 4, "n_decoder_layers": 4})
    model = build_model(shape, len(translator.tokenizer)).eval()
    config = translator.config.model_copy(update={"model": shape})
    return Translator(model, translator.tokenizer, config)


def facts_of(page: str) -> dict[str, object]:
    return json.loads(Elements(page).blocks["facts"])


def test_the_page_holds_what_was_found(explanation: Explanation) -> None:
    facts = facts_of(to_html(explanation))
    assert facts["translation"] == explanation.translation
    assert facts["target_pieces"] == explanation.target_pieces
    assert len(facts["beam"]) == len(explanation.nodes)


@pytest.mark.parametrize("role", ["encoder", "decoder", "cross"])
def test_weights_are_coarse_but_true(explanation: Explanation, role: str) -> None:
    packed, weights = facts_of(to_html(explanation))["maps"][role], getattr(explanation, role).weights
    values = torch.tensor(list(zlib.decompress(base64.b64decode(packed["bytes"]))))
    assert (packed["layers"], packed["heads"], packed["queries"], packed["keys"]) == weights.shape
    found = (values / 255).square().view(weights.shape)
    torch.testing.assert_close(found, weights, rtol=0, atol=1 / 255)
    assert packed["causal"] == (role == "decoder")
    # Control: bytes in a different order would be noticed.
    assert (found - weights.flip(1)).abs().max() > 1 / 255


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


@pytest.mark.parametrize("n_words", [3, 15, pytest.param(60, marks=pytest.mark.slow)])
def test_the_page_is_below_two_megabytes(larger: Translator, n_words: int) -> None:
    text = " ".join((WORDS * 4)[:n_words])
    shown = explain(larger, text, beam_size=5)
    assert shown.n_parts == 1
    assert len(text.split()) == n_words
    size = len(to_html(shown).encode())
    assert 40_000 < size < 2_000_000


def test_maps_that_do_not_fit_are_coarser(explanation: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = facts_of(to_html(explanation))["maps"]["cross"]
    monkeypatch.setattr(page, "MAX_CHARACTERS", 0)
    coarse = facts_of(to_html(explanation))["maps"]["cross"]
    assert (fine["levels"], coarse["levels"]) == (255, 15)
    assert len(coarse["bytes"]) < len(fine["bytes"])


def test_its_files_are_installed_with_the_package() -> None:
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"explain/template/*"' in pyproject


def test_a_tokenizer_cannot_smuggle_markup(explanation: Explanation) -> None:
    odd = replace(
        explanation, node_pieces=["</script>"] * len(explanation.nodes), languages=("<b>", "</script>")
    )
    assert Elements(to_html(odd)).found == Elements(to_html(explanation)).found
