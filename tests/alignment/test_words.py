"""Word segmentation for alignment, and joining words to running text."""

import pytest

from translator.alignment.words import detokenize, words, words_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L'eau n'est-elle pas là-bas ?", "L' eau n' est -elle pas là-bas ?"),
        ("Donne-le-moi, va-t'en et vas-y !", "Donne -le -moi , va -t' en et vas -y !"),
        ("Qu'est-ce qu'a-t-il mangé ?", "Qu' est -ce qu' a -t-il mangé ?"),
        ("Aujourd'hui, quelqu'un est là.", "Aujourd'hui , quelqu'un est là ."),
        ("Ce livre-là, celui-ci, l'arc-en-ciel.", "Ce livre -là , celui -ci , l' arc-en-ciel ."),
        ("Un rendez-vous, peut-être.", "Un rendez-vous , peut-être ."),
        ("Parle-m'en jusqu’à midi.", "Parle -m' en jusqu’ à midi ."),
        ("Paul's car isn't my parents' car.", "Paul 's car is n't my parents ' car ."),
        ("It's eight o'clock; I'm twenty-one.", "It 's eight o'clock ; I 'm twenty-one ."),
        ("3,50 à 8:30 (1.000)", "3,50 à 8:30 ( 1.000 )"),
        ("", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@pytest.mark.parametrize("text", ["l'", "-il", "d' un", "'s", "a--b", "qu'-il", "…", "l''ami", "-t-il-t-il"])
def test_no_letter_is_lost_even_in_odd_text(text: str) -> None:
    assert "".join(words(text)) == text.replace(" ", "")


def test_words_of_words_are_the_words() -> None:
    """What is written with spaces between the words is split at the same places."""
    once = words("L'homme qu'a-t-il vu, va-t'en ! Paul's don't.")
    assert words(" ".join(once)) == once


def test_words_as_given_are_split_at_spaces_alone() -> None:
    text = " L'eau  10\u00a0000\tfin. "
    assert words_of(text, tokenized=True) == ["L'eau", "10\u00a0000\tfin."]
    assert words_of(text, tokenized=False) == words(text) == ["L'", "eau", "10", "000", "fin", "."]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("fr", "L'eau n'est-elle pas là-bas ?"),
        ("fr", "Va-t'en, donne-le-moi (vite) : « ça » !"),
        ("fr", "Aujourd'hui, quelqu’un est là…"),
        ("en", "Paul's car isn't here: it's red (I'm sure)!"),
        ("en", "Don’t go; they’re there, aren’t they?"),
        ("en", ""),
    ],
)
def test_words_are_spelled_as_the_text_was(language: str, text: str) -> None:
    assert detokenize(words(text), language=language).strip() == text


def test_punctuation_is_spelled_as_its_language_does() -> None:
    assert detokenize(["Oui", "!"], language="fr").strip() == "Oui !"
    assert detokenize(["Yes", "!"], language="en").strip() == "Yes!"
    assert detokenize(["Je", "mange"], language="fr").strip() == "Je mange"


@pytest.mark.parametrize(
    "given", [["'"], ["(", ")"], ["-"], ["n't"], ["a", "'", "b"], ["", ""], ["l'", "'s"]]
)
def test_no_word_is_lost_when_they_are_spelled(given: list[str]) -> None:
    assert detokenize(given, language="fr").replace(" ", "") == "".join(given)
