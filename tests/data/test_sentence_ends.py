"""Sentence segmentation of French as people type it."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.data.sentences import paired_sentences, sentence_spans, split_sentences

#: Lines with `|` between sentences, written by somebody who had not seen the code.
CASES = Path(__file__).with_name("sentence_ends.tsv").read_text("utf-8").splitlines()


@pytest.mark.parametrize("case", CASES)
def test_lines_by_somebody_else(case: str) -> None:
    line, sentences = case.split("\t")
    assert "|".join(split_sentences(line)) == sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["J'aime les pommes, les poires, etc.", "Tu viens ?"],
        ["Va sur www.exemple.fr.", "C'est bien."],
        ["Le plan B.", "Il dort."],
        ["A. Dumas et V. Hugo sont célèbres.", "On les lit encore."],
        ["« Tu viens ? Je t'attends. »", "Il sortit."],
        ["1. Ouvrez la boîte.", "2. Fermez-la."],
        ["tu viens ?", "je t'attends"],
        ["C'est fini.", "Tu viens ?"],
        ["IL PLEUT.", "JE RESTE."],
        ["Super ! 😀", "On y va."],
        ["Non ! ! !", "Jamais."],
        ["Vraiment ? demanda-t-il."],
        ["Ah ! mon ami."],
        ["..."],
    ],
)
def test_one_line_of_several(sentences: list[str]) -> None:
    joined = "".join(sentences) if sentences[0] == "C'est fini." else " ".join(sentences)
    assert split_sentences(joined) == sentences


WIDE_SPACES = [chr(code) for code in range(0x80, 0x3001) if chr(code).isspace()]


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("line", ["Plan A . Il dort. Oui", "J. K . Bon.", "« A . B ! »", "A .", "M. É . Oui"])
def test_any_space_is_a_space(line: str, language: str) -> None:
    expected = sentence_spans(line, language)
    for space in WIDE_SPACES:
        assert sentence_spans(line.replace(" ", space), language) == expected


def test_a_blank_line_has_none() -> None:
    assert split_sentences("") == split_sentences(" \t\u00a0") == []


MARKS = [*" .!?…«»\"'()—:;-1aMÀ", "M.", "etc.", "J.-C.", "\u202f", "😀", "\ud800", "dit-il"]


@given(st.lists(st.sampled_from(MARKS)))
def test_nothing_is_lost_and_none_is_blank(parts: list[str]) -> None:
    text = "".join(parts)
    spans = sentence_spans(text)
    ends, starts = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)]
    assert not any(text[a:b].strip() for a, b in zip(ends, starts, strict=True))
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["« ", "M. Le chat, ", "A. B. ", "! a", ":) a. ", "( a. "])
def test_a_long_line_takes_no_quadratic_time(unit: str) -> None:
    started = time.monotonic()
    assert "".join("".join(split_sentences(unit * 30_000)).split()) == "".join((unit * 30_000).split())
    assert time.monotonic() - started < 20


def test_sentences_go_with_their_translations() -> None:
    french, english = "Il dort. Elle lit.", "He is asleep. She reads."
    pairs = paired_sentences(french, english, ("fr", "en"))
    assert [(french[a:b], english[c:d]) for (a, b), (c, d) in pairs] == [
        ("Il dort.", "He is asleep."),
        ("Elle lit.", "She reads."),
    ]
    assert paired_sentences(french, "He sleeps, she reads.", ("fr", "en")) == [((0, 18), (0, 21))]
