"""What a word is, for alignments."""

import pytest

from translator.alignment import words


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
