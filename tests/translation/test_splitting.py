"""A text that is too long is cut where it hurts least, and nothing of it is lost."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.translation.splitting import split_text

#: Words, sentence ends, quotes, French spaces, line separators and what a word may be made of.
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["Bonjour", "à", ".", "!", "…", "»", "”", ")", " ", "\u00a0", "\u202f", "\u2028", "\t"]
        ),
        st.text(max_size=6),
        st.text("abc", min_size=10, max_size=30),
    ),
    max_size=30,
).map("".join)


def at_most(n: int) -> Callable[[str], bool]:
    return lambda text: len(text.encode("utf-8", "surrogatepass")) <= n


def without_space(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.slow
@given(TEXTS, st.integers(1, 40))
def test_parts_fit_are_not_blank_and_are_the_text_without_space_between(text: str, n: int) -> None:
    text = text.strip()
    if not text:
        return
    fits = at_most(n)
    parts = split_text(text, fits)
    assert all(fits(part) or len(part) == 1 for part in parts)
    assert all(part == part.strip() != "" for part in parts)
    # In order, unchanged within, with nothing but white space between.
    at = 0
    for part in parts:
        found = text.index(part, at)
        assert text[at:found].strip() == ""
        at = found + len(part)
    assert at == len(text)


@given(TEXTS)
def test_what_fits_stays_as_it_is(text: str) -> None:
    assert split_text(text, lambda _: True) == [text]


@given(
    st.lists(st.sampled_from(["Un mot.", "Deux mots !", "Et « trois » ?", "Fin…"]), min_size=1, max_size=8)
)
def test_sentences_that_fit_are_never_cut(sentences: list[str]) -> None:
    text = " ".join(sentences)
    assert split_text(text, lambda part: part in sentences) == sentences


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "Il part. Elle reste ! Qui sait ? Moi… Fin",
            ["Il part.", "Elle reste !", "Qui sait ?", "Moi…", "Fin"],
        ),
        ("« Viens !\u00a0» Il vient.", ["« Viens !\u00a0»", "Il vient."]),
        ("« Viens ! » Il vient.", ["« Viens ! »", "Il vient."]),
        ("(Il pleut.) Elle lit.", ["(Il pleut.)", "Elle lit."]),
        ('“Come.” He came. "Go!" She went.', ["“Come.”", "He came.", '"Go!"', "She went."]),
        ("Un. « Deux. » Trois.", ["Un.", "« Deux. »", "Trois."]),
        ("Un.\u2028Deux.\n\nTrois.", ["Un.", "Deux.", "Trois."]),
        ("3.14 est pi. www.exemple.fr aussi.", ["3.14 est pi.", "www.exemple.fr aussi."]),
    ],
)
def test_sentences_end_with_what_closes_them(text: str, parts: list[str]) -> None:
    assert split_text(text, lambda part: part != text) == parts


def test_a_long_sentence_is_cut_at_spaces_and_keeps_those_within() -> None:
    text = "un deux\u00a0trois  quatre cinq. Court."
    assert split_text(text, at_most(14)) == ["un deux\u00a0trois", "quatre cinq.", "Court."]
    assert split_text("aa  bb cc", at_most(6)) == ["aa  bb", "cc"]


def test_a_long_word_is_cut_at_characters_and_its_rest_shares_a_part() -> None:
    assert split_text("abcdefgh ij kl", at_most(5)) == ["abcde", "fgh", "ij kl"]
    assert split_text("abcdefg ij kl", at_most(5)) == ["abcde", "fg ij", "kl"]


def test_a_character_that_never_fits_is_a_part_by_itself() -> None:
    assert split_text("é😀x", lambda part: part == "x") == ["é", "😀", "x"]


@pytest.mark.parametrize("unit", ["a", "mot ", "Une phrase. ", "\u00a0x", "!"])
def test_few_questions_are_asked_of_a_very_long_text(unit: str) -> None:
    n_asked = 0

    def fits(part: str) -> bool:
        nonlocal n_asked
        n_asked += 1
        return len(part) <= 200

    text = (unit * 100_000).strip()
    parts = split_text(text, fits)
    assert without_space("".join(parts)) == without_space(text)
    # Doubling and halving: some twenty questions a part, not one a word.
    assert n_asked <= 25 * len(parts)
