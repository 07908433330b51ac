"""The input map: one text for every way of typing it, and no other changes."""

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.data.input_map import STEPS, map_input, normalize
from translator.data.noise import decomposed, without_accents

TEXT = "L'été, l'œuf coûte 1 200 € : « C'est cher ! »"
FAMILY = "👩🏽\u200d👧 ❤\ufe0f\u200d🔥 🙂\u200d↔\ufe0f 🏳\ufe0f\u200d⚧\ufe0f"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("l’eau l‘eau l‛eau lʼeau l＇eau", "l'eau l'eau l'eau l'eau l'eau"),
        ("l´eau l`eau l′eau", "l'eau l'eau l'eau"),
        ("5′ de `code` ´", "5′ de `code` ´"),
        ("‘Oui’", "'Oui'"),
        ("“Oui” « Non » – … œ ﬁ ½", "“Oui” « Non » – … œ ﬁ ½"),
        ("e\u0301te\u0301 \u212b", "été Å"),
        ("\ufeffMai\u00adson\u200b de\u2060 l\u200c'eau\u200e\u202a\u202c", "Maison de l'eau"),
        ("e\u200b\u0301", "é"),
        ("un\u00a0\u202fdeux\t trois\u3000\u2028\u0085quatre\r", "un deux trois quatre"),
        ("un\x1fdeux \u1680 trois", "un deux trois"),
        (" \u200b \ufeff\t", ""),
        ("", ""),
        (FAMILY, FAMILY),
        ("a\u200db 👩\u200d \u200d👩 👩\u200d\u200d👩", "ab 👩 👩 👩👩"),
        ("👩\u200b\u200d👧", "👩\u200d👧"),
        ("☺\ufe0e ☺\ufe0f", "☺\ufe0e ☺\ufe0f"),
        (TEXT, TEXT),
    ],
)
def test_what_it_does(text: str, expected: str) -> None:
    assert map_input(text) == expected


#: Text with many characters that are mapped, and with characters that could interfere.
TEXTS = st.text(
    st.sampled_from(
        "aeé'’`´\u0301\u0338\u0328 \t\u00a0\u2028\u200b\u200d\ufe0f\ufeff\u00ad👩🏽❤←↔〈\u2329ʼ-.5"
    )
    | st.characters(),
    max_size=12,
)


@given(TEXTS)
def test_twice_is_once_and_the_result_is_what_is_promised(text: str) -> None:
    mapped = map_input(text)
    assert map_input(mapped) == mapped
    assert unicodedata.is_normalized("NFC", mapped)
    assert mapped == " ".join(mapped.split())
    assert not set(mapped) & set("’‘ʼ\u200b\ufeff\u00ad\u00a0\t\n")


@given(TEXTS)
def test_the_form_of_the_text_makes_no_difference(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert map_input(unicodedata.normalize(form, text)) == map_input(text)


#: Combining marks of several classes, some of which compose or decompose, and characters between them.
MARKS = "\u0301\u0327\u0308\u0323\u0338\u0344\u0f71\u0f73\u05b0\u3099\u20d0e≠—é\uac00"


@given(st.text(MARKS, max_size=200), st.sampled_from(MARKS))
def test_the_normal_form_of_a_long_run_of_marks_is_unicode_s(text: str, mark: str) -> None:
    for form in ("NFC", "NFD"):
        for long in (text, text + mark * 600 + text, "e" + text.replace("e", "").replace("é", "") * 50):
            assert normalize(form, long) == unicodedata.normalize(form, long)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    "marks", ["\u0301\u0327", "\u0327\u0301", "\u0f73", "\u0344\u0323", "\u0301\u200b\u0327"]
)
def test_endless_marks_take_no_endless_time(marks: str) -> None:
    began = time.perf_counter()
    for change in (map_input, decomposed, without_accents):
        change("e" + marks * 40_000)
    assert time.perf_counter() - began < 5


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="’‘‛ʼ＇`´′")))
def test_letters_digits_and_signs_stay_as_they_are(text: str) -> None:
    assert map_input(text) == unicodedata.normalize("NFC", text)


@given(st.lists(st.sampled_from("\u200b\u2060\ufeff\u00ad\u200c"), min_size=len(TEXT), max_size=len(TEXT)))
def test_what_is_invisible_may_stand_anywhere(hidden: list[str]) -> None:
    assert map_input("".join(map("".join, zip(TEXT, hidden, strict=True)))) == TEXT


def test_no_character_becomes_another_one_but_an_apostrophe() -> None:
    changed = {}
    for character in map(chr, range(0x110000)):
        if unicodedata.category(character) in ("Cn", "Co"):  # nine in ten are no characters
            continue
        mapped = map_input(character)
        assert map_input(mapped) == mapped
        if mapped not in ("", unicodedata.normalize("NFC", character)):
            changed[character] = mapped
    assert changed == dict.fromkeys("’‘‛ʼ＇", "'")


def test_the_steps_are_all_that_it_is() -> None:
    """Exports include the steps; the control omits the last one."""

    def by(steps: tuple[tuple[str, str], ...], text: str) -> str:
        for pattern, replacement in steps:
            text = unicodedata.normalize("NFC", re.sub(pattern, replacement, text))
        return text

    odd = f" \u200be\u0301 l’eau\u00a0! {FAMILY}"
    assert by(STEPS, odd) == map_input(odd)
    assert by(STEPS[:-1], odd) != map_input(odd)
    assert all(pattern.isascii() for pattern, _ in STEPS)
