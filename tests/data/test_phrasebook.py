"""The embedded corpus: the same everywhere, disjoint splits, sound French spelling."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from translator.data import phrasebook

DIGEST_SCRIPT = """
import hashlib
from translator.data import phrasebook
text = "".join(f"{p['fr']}\\t{p['en']}\\n" for s in phrasebook.SPLITS for p in phrasebook.pairs(s))
print(hashlib.blake2b(text.encode()).hexdigest())
"""
CORPUS = {split: list(phrasebook.pairs(split)) for split in phrasebook.SPLITS}
ALL = [pair for pairs in CORPUS.values() for pair in pairs]
FRENCH = "\n".join(pair["fr"] for pair in ALL)


def digest() -> str:
    lines = (f"{p['fr']}\t{p['en']}\n" for s in phrasebook.SPLITS for p in phrasebook.pairs(s))
    return hashlib.blake2b("".join(lines).encode()).hexdigest()


def words(pairs: list[dict[str, str]], language: str) -> set[str]:
    return {word for pair in pairs for word in re.findall(r"[^\W\d_]+", pair[language].lower())}


def hits(pattern: str) -> list[str]:
    return [match[0] for match in re.finditer(pattern, FRENCH, re.IGNORECASE)]


def test_a_second_generation_gives_the_same_text() -> None:
    before = digest()
    phrasebook._corpus.cache_clear()
    assert digest() == before


@pytest.mark.parametrize("hash_seed", ["0", "4321"])
def test_text_does_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    command = [sys.executable, "-c", DIGEST_SCRIPT]
    environment = os.environ | {
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert output.stdout.strip() == digest()


def test_split_sizes() -> None:
    assert 6000 <= len(CORPUS["train"]) <= 9000
    assert len(CORPUS["val"]) == 300
    assert len(CORPUS["test"]) == 300


def test_unknown_split_names_the_allowed_ones_at_once() -> None:
    with pytest.raises(ValueError, match=r"'dev'.*train, val, test"):
        phrasebook.pairs("dev")


def test_changing_a_pair_leaves_the_corpus_alone() -> None:
    next(phrasebook.pairs("val"))["fr"] = "?"
    assert next(phrasebook.pairs("val")) == CORPUS["val"][0]


def test_a_pair_has_the_two_languages() -> None:
    assert {tuple(pair) for pair in ALL} == {phrasebook.LANGUAGES}


def test_no_french_sentence_occurs_twice() -> None:
    assert len({pair["fr"] for pair in ALL}) == len(ALL)


def test_every_draw_of_a_french_sentence_has_the_same_english() -> None:
    english: dict[str, set[str]] = {}
    for fr, en in phrasebook._drawn():
        english.setdefault(fr, set()).add(en)
    assert {fr: en for fr, en in english.items() if len(en) > 1} == {}


@pytest.mark.parametrize("language", phrasebook.LANGUAGES)
def test_held_out_words_occur_in_training(language: str) -> None:
    held_out = words(CORPUS["val"] + CORPUS["test"], language)
    assert held_out - words(CORPUS["train"], language) == set()


@pytest.mark.parametrize("language", phrasebook.LANGUAGES)
def test_sentences_are_tidy(language: str) -> None:
    mark = r"(?:\.| [?!])" if language == "fr" else "[.?!]"
    tidy = re.compile(rf"[A-ZÀÉÊÎÔŒ][\w'-]*(?:,? [\w'-]+)*{mark}")
    assert [pair[language] for pair in ALL if not tidy.fullmatch(pair[language])] == []


def test_both_languages_end_in_the_same_mark() -> None:
    assert [pair for pair in ALL if pair["fr"][-1] != pair["en"][-1]] == []


def test_short_words_are_elided_before_a_vowel() -> None:
    vowel = "(?!hibou)[aeiouyhàâäéèêëîïôöùûüœ]"
    assert hits(rf"\b(?:le|la|je|me|te|se|ne|de|que|ce|ma|beau|nouveau) {vowel}\w*") == []
    assert hits(rf"\b(?:un|le|ce|mon|notre) vieux {vowel}\w*") == []
    elided = {match.lower() for match in hits(r"\b(?:l|d|qu|j|n|c)'")}
    assert elided == {"l'", "d'", "qu'", "j'", "n'", "c'"}
    assert {"l'hôtel", "mon horloge", "cet homme", "vieil hôtel"} <= set(
        hits(r"\b(?:l'hôtel|mon horloge|cet homme|vieil hôtel)\b")
    )


def test_nothing_is_elided_before_a_consonant_or_a_sounded_h() -> None:
    assert hits(r"\b(?:l|d|j|n|c|qu)'(?:hibou|[^aeiouyhàâéèêîôœ])\w*") == []
    assert hits(r"\b(?:cet|bel|nouvel|vieil) (?:hibou|[^aeiouyhàâéèêîôœ])\w*") == []
    assert "le hibou" in hits(r"\ble hibou\b")


def test_prepositions_contract_with_the_article() -> None:
    assert hits(r"(?<!\w)(?:à|de) les? \w+") == []
    assert {"au parc", "du parc"} <= set(hits(r"\b(?:au|du) parc\b"))


def test_participle_of_aller_agrees_with_the_subject() -> None:
    clause = r"\b(ils|elles|elle|il) (?:ne |n')?(\w+)(?: pas)? (allée?s?)\b"
    found = {" ".join(groups) for groups in re.findall(clause, FRENCH.lower())}
    assert found == {"il est allé", "elle est allée", "ils sont allés", "elles sont allées"}


def test_english_article_fits_the_next_sound() -> None:
    english = "\n".join(pair["en"] for pair in ALL)
    assert re.findall(r"\b(?:a [aeiou]|an [^aeiou])\w*", english, re.IGNORECASE) == []


def lexicon() -> Iterator[tuple[str, str]]:
    """Yield each form in the lexicon with its language."""
    for noun in phrasebook._NOUNS:
        for fr, en in zip(noun.fr, noun.en, strict=True):
            yield from (("fr", fr), ("en", en))
            if noun.kind in ("mass", "drink", "place"):
                break  # these stay singular
    for adjective in phrasebook._ADJECTIVES:
        yield from (("fr", form) for form in adjective.fr)
        yield "en", adjective.en
    for verb in phrasebook._VERBS:
        # "aller chercher" means to fetch: the infinitive is left out on purpose
        yield from (("fr", form) for form in verb.fr if form != "chercher")
        yield from (("en", form) for form in verb.en)
    for phrase in (*phrasebook._PRONOUNS, *phrasebook._NAMES):
        yield from (("fr", phrase.fr), ("en", phrase.en))
    for entry in (
        *phrasebook._NUMBERS,
        *phrasebook._GREETINGS,
        *phrasebook._ON,
        *phrasebook._NEAR,
    ):
        yield from zip(phrasebook.LANGUAGES, entry, strict=True)
    for *french, singular, plural in phrasebook._DETERMINERS.values():
        yield from (("fr", form) for form in french if not form.startswith("de "))
        yield from (("en", form) for form in (singular, plural))


def test_every_lexicon_entry_is_used_in_training() -> None:
    text = {
        language: "\n".join(pair[language].lower() for pair in CORPUS["train"])
        for language in phrasebook.LANGUAGES
    }
    unused = [
        (language, form)
        for language, form in lexicon()
        if not re.search(rf"(?<!\w){re.escape(form.lower())}(?!\w)", text[language])
    ]
    assert unused == []
