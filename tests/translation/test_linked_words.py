"""The words of a translation: their probabilities, their links, and the picture of both."""

import copy
import dataclasses
import math
import pickle
import re
from html import unescape
from unittest.mock import Mock
from xml.etree import ElementTree

import pytest
from phrases import Trained

from translator import Translation, Translator
from translator.alignment.words import words
from translator.data.input_map import map_input
from translator.engine.native_decoding import NativeDecoder
from translator.explain import explain
from translator.translation.aligner import Aligner
from translator.translation.scoring import token_log_probs
from translator.translation.words import word_of_each

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "Le chat dort dans la maison. L’enfant ne mange pas.\n\nOù est <b>la</b> gare & le pont ?"


@pytest.fixture(scope="module", params=["auto", "torch"])
def translator(trained: Trained, request: pytest.FixtureRequest) -> Translator:
    return Translator.load(trained.model, split_sentences="always", backend=request.param)


@pytest.fixture(scope="module")
def translation(translator: Translator) -> Translation:
    return translator.translate(TEXT)


def test_words_are_those_of_source_and_translation(translation: Translation) -> None:
    assert translation.source == TEXT
    assert translation.n_parts == 3
    assert translation.source_words == words(map_input(TEXT))
    assert [word.text for word in translation.words] == words(translation.text)


def test_probabilities_multiply_to_that_of_the_translation(translator: Translator) -> None:
    found = translator.translate("Le chat dort dans la maison.", beam_size=1)
    choices = explain(translator, found.source, beam_size=1).choices
    expected = math.prod(choice.probability for choice in choices[:-1])  # the last is the end symbol
    assert math.prod(word.probability for word in found.words) == pytest.approx(expected, rel=1e-4)
    assert choices[-1].probability < 0.999  # control: the end symbol would be seen
    assert all(0 < word.probability <= 1 for word in found.words)


def test_the_probabilities_that_a_search_in_c_has_listed_are_not_computed_again(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, again = (translator.translate("Le chat dort dans la maison.") for _ in range(2))
    expected = [word.probability for word in found.words]
    passes = Mock(wraps=token_log_probs)
    monkeypatch.setattr("translator.translation.words.token_log_probs", passes)
    assert [word.probability for word in again.words] == expected
    assert passes.call_count == (0 if isinstance(translator.decoder, NativeDecoder) else 1)


def test_links_are_those_of_the_aligner(translator: Translator, translation: Translation) -> None:
    sentences = [
        "Le chat dort dans la maison.",
        "L’enfant ne mange pas.",
        "Où est <b>la</b> gare & le pont ?",
    ]
    each = translator.translate(sentences)
    links = Aligner(translator).align(sentences, [one.text for one in each])
    assert [one.links for one in each] == links
    n_source, n_target = len(each[0].source_words), len(each[0].words)
    assert translation.links[: len(links[0])] == links[0]
    assert (links[1][0][0] + n_source, links[1][0][1] + n_target) in translation.links
    assert max(i for i, _ in translation.links) < len(translation.source_words)
    assert max(j for _, j in translation.links) < len(translation.words)
    assert len(links[0]) > 3


def test_a_blank_text_has_no_words(translator: Translator) -> None:
    blank = translator.translate(" \n")
    assert (blank.source, blank.source_words, blank.words, blank.links) == (" \n", [], [], [])
    assert "(blank)" in blank._repr_html_()


def test_words_survive_copying_and_pickling(translation: Translation) -> None:
    for other in (pickle.loads(pickle.dumps(translation)), copy.deepcopy(translation)):
        assert other == translation
        assert (other.words, other.links) == (translation.words, translation.links)
    fields = ["source", "text", "score", "candidates", "n_parts", "line_log_probs", "confidence"]
    assert list(dataclasses.asdict(translation)) == fields


def test_the_picture_shows_words_links_and_probabilities(translation: Translation) -> None:
    page = ElementTree.fromstring(translation._repr_html_())
    drawings = page.findall("svg")
    assert len(drawings) == translation.n_parts
    shown = [text.text for drawing in drawings for text in drawing.findall("text")]
    assert sorted(map(str, shown)) == sorted(
        [*translation.source_words, *(word.text for word in translation.words)]
    )
    assert len([*page.iter("line")]) == len(translation.links)
    shares = [text.text for text in page.findall("svg/g/text")]
    assert shares == [f"{word.probability:.0%}" for word in translation.words]


def test_a_line_joins_the_two_words_of_a_link(translator: Translator) -> None:
    found = translator.translate("Le chat dort.")
    drawing = ElementTree.fromstring(found._repr_html_()).find("svg")
    assert drawing is not None
    centres = [text.get("x") for text in drawing.findall("text")]
    lines = {(line.get("x1"), line.get("x2")) for line in drawing.iter("line")}
    n = len(found.source_words)
    assert lines == {(centres[i], centres[n + j]) for i, j in found.links}
    assert len(set(centres[:n])) == n


def test_the_picture_is_escaped_and_needs_nothing_else(translation: Translation) -> None:
    html = translation._repr_html_()
    assert "<b>" not in html
    assert "< b >" in unescape(html)
    assert not re.search(r"script|http|url\(|#[0-9a-f]{3}|href|class=", html)
    assert set(re.findall(r'(?:fill|stroke)="(.*?)"', html)) == {"currentColor"}  # of the theme
    assert len(html) < 8000


@pytest.mark.parametrize(
    "text",
    [
        "Ma sœur ne mange pas.",
        "Un vieux 🐈 attend « l’enfant » au marché !",
        "L’enfant  n'a-t-il pas\tdit: “x”?",
        "القطة 🐈‍⬛ œ",
        "a\u2028b",
    ],
)
def test_each_piece_belongs_to_the_word_it_begins_in(translator: Translator, text: str) -> None:
    ids, found = translator.tokenizer.encode(text), words(text)
    numbers = word_of_each(translator.tokenizer, ids, text)
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(range(len(found)))
    assert numbers[0] == 0
    # A piece of letters is inside its word, or starts in it.
    for i, name in zip(ids, numbers, strict=True):
        letters = "".join(translator.tokenizer.decode([i]).split())
        if letters.isalpha():
            assert (
                letters in found[name] or letters.startswith(found[name]) or found[name].endswith(letters[0])
            )
