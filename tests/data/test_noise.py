"""Noise: each kind changes only what it names, as a function of (seed, epoch, row)."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.config import NoiseConfig
from translator.data.noise import CHANGES, KINDS, add_noise, random_of_row

TEXT = "« Où est l'œuf ? » dit Zoé : il dort."

EXAMPLES = [
    ("without_accents", "Où est l'œuf de Zoë, garçon ? Ñ", "Ou est l'oeuf de Zoe, garcon ? N"),
    ("without_accents", "Œuvre d'E\u0301tat", "Oeuvre d'Etat"),
    ("without_accents", "Мой хороший 日本 ガ", "Мой хороший 日本 ガ"),
    ("lower_case", "ÉCOLE de Lyon", "école de lyon"),
    ("first_letter_lower", "À Lyon, Anne dort.", "à Lyon, Anne dort."),
    ("first_letter_lower", "« Viens ! »", "« viens ! »"),
    ("first_letter_lower", "SNCF : grève", "SNCF : grève"),
    ("first_letter_lower", "14 h 30 ?", "14 h 30 ?"),
    ("first_letter_lower", "14", "14"),
    ("upper_case", "L'été à Lyon", "L'ÉTÉ À LYON"),
    ("straight_quotes", "« Viens ! » et “là” et «\u202fça\u00a0»", '"Viens !" et "là" et "ça"'),
    ("curly_quotes", '"a" et « b »', "“a” et “b”"),
    ("guillemets", '"a" et “b”', "« a » et « b »"),
    ("guillemets", 'un écran de 24"', 'un écran de 24"'),
    ("straight_quotes", "«»", '""'),
    ("without_final_mark", "Il dort.", "Il dort"),
    ("without_final_mark", "Tu viens ?", "Tu viens"),
    ("without_final_mark", "Attends... quoi ?!", "Attends... quoi"),
    ("without_final_mark", "?", "?"),
    ("without_final_mark", "Il dort. Elle lit. ", "Il dort. Elle lit"),
    ("without_space_before_marks", "Quoi ?! Non : viens ; vite !", "Quoi?! Non: viens; vite!"),
    ("without_space_before_marks", "Merci :) à 3 :30", "Merci :) à 3 :30"),
    ("typographic_apostrophes", "l'été", "l’été"),
    ("no_break_spaces", "« Ça va ? » : oui", "«\u00a0Ça va\u00a0?\u00a0»\u00a0: oui"),
    ("decomposed", "été", "e\u0301te\u0301"),
    ("byte_order_mark", "été", "\ufeffété"),
    ("tabs", "il dort", "il\tdort"),
]


@pytest.mark.parametrize(("name", "text", "expected"), EXAMPLES)
def test_what_each_change_does(name: str, text: str, expected: str) -> None:
    assert CHANGES[name](text) == expected


def test_every_change_has_an_example_that_it_changes() -> None:
    assert {name for name, text, expected in EXAMPLES if text != expected} == set(CHANGES)


@given(text=st.text(alphabet=st.sampled_from("aÉœ .?!…:;«»“”\"'\u00a0\u0301Ж")))
def test_no_change_makes_a_text_blank(text: str) -> None:
    for ways in KINDS.values():
        for way in ways:
            assert bool(way(text).strip()) == bool(text.strip())


@pytest.mark.timeout(10)  # without backtracking each takes less than a tenth of a second
@pytest.mark.parametrize("text", ["«" + 3000 * " ", 40_000 * " " + "a", "«a" * 20_000, "a! " * 10_000 + "a"])
def test_no_text_takes_long(text: str) -> None:
    assert all(change(text).strip() for change in CHANGES.values())


def test_the_configuration_has_the_kinds() -> None:
    assert list(NoiseConfig.model_fields) == list(KINDS)
    assert not any(NoiseConfig().model_dump().values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_of_one_changes_always_and_of_none_never(kind: str) -> None:
    ways = {way(TEXT) for way in KINDS[kind]} - {TEXT}
    found = {add_noise(TEXT, {kind: 1.0}, random_of_row(1, 0, row)) for row in range(60)}
    assert found == ways
    assert add_noise(TEXT, dict.fromkeys(KINDS, 0.0), random_of_row(1, 0, 0)) == TEXT


def test_each_kind_comes_at_its_own_rate() -> None:
    rates = {"accents": 0.3, "upper": 0.1}
    texts = [add_noise("Il est né.", rates, random_of_row(1, 0, row)) for row in range(4000)]
    assert sum(text.upper() == text for text in texts) / 4000 == pytest.approx(0.1, abs=0.02)
    assert sum("É" not in text.upper() for text in texts) / 4000 == pytest.approx(0.3, abs=0.03)
    assert set(texts) == {"Il est né.", "Il est ne.", "IL EST NÉ.", "IL EST NE."}


def test_a_draw_depends_on_seed_epoch_and_row_alone() -> None:
    def draw(*place: int) -> float:
        random.random()  # the global generator has no part in it
        return random_of_row(*place).random()

    places = [(seed, epoch, row) for seed in (0, 1) for epoch in (0, 1) for row in (0, 1, 10**9)]
    draws = [draw(*place) for place in places]
    assert [draw(*place) for place in places] == draws
    assert len(set(draws)) == len(places)
