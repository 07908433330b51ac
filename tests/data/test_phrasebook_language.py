"""The phrasebook checked by external tools: a spell checker for each language and a French conjugator.

They are not dependencies of the project: `.ci/run` installs hunspell with Debian's dictionaries, and
`make test-all` installs verbecc.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from translator.alignment.words import words
from translator.data import phrasebook
from translator.data.phrasebook import french, lexicon
from translator.data.phrasebook.french import Conjugation

pytestmark = pytest.mark.system

#: Correct words that Debian's dictionaries lack, because they are borrowed or recent.
ALLOWED = {
    "fr": set(
        "bar-mitsva cubi dispo game gigas griffoir ok ola papi schnitzel thank téléréalité visio you".split()
    ),
    "en": set(
        (
            "aleck audiobooks autocorrect barcode belote bichon blankie bourguignon brûlée cactuses café "
            "cafés camembert carbonara chocolatine coq countertop crème crêpe crêpes cyberattacks "
            "driverless dépaysé farmworkers fava fiancé fiancée flyers foie foosball frisbee gras haha "
            "handprints heartedly intolerances keychain kir lakeshore lockdown lol macarons maître melba "
            "n't ok olds onesie paddleball partygoers petanque popsicles porcini poutine pâté pétanque "
            "raclette rainforest relit repotted rockslide rosé résumé résumés sauté schooler scrapbooking "
            "sightsee skatepark softie soufflé sudoku treehouse unstitched wifi worshippers yay éclairs "
            # French that is quoted, and parts of touchy-feely and double-decker
            "amoureux appétit au bac bon carrosse chocolat complète connaître decker des donc du feely je "
            "le minou parapluie pleine pomme rendez rhume savoir suis tu vin vous à "
            # names that head their sentence
            "blanchette garnier ghislaine josette laure perrache samia sandrine tintin océane élodie "
        ).split()
    ),
}
PERSONS = ("je", "tu", "il", "nous", "vous", "ils")


def pairs_with_origin() -> Iterator[tuple[dict[str, str], str]]:
    for split in phrasebook.SPLITS:
        pairs = list(phrasebook.pairs(split))
        yield from zip(pairs, phrasebook.origins(split) or ["by hand"] * len(pairs), strict=True)


def spoken(language: str) -> set[str]:
    """Return the distinct words of all splits that are not names: in lower case, or only sentence-initial."""
    inside, first = set[str](), set[str]()
    for pair, origin in pairs_with_origin():
        text = re.sub(r"\S+@\S+|\S*(?:www\.|https:)\S*|\S+\.(?:fr|com|org|net|eu)\b", "", pair[language])
        opens = True
        for word in words(text):
            # These may begin with a name that was made up.
            if word[0].isalpha() and not (opens and origin in ("patterns", "invented names")):
                (first if opens else inside).add(word)
            opens = word in '.?!:«»"…'
    plain = {word for word in inside if word.islower()} | (first - inside)
    return {word.strip("-'").removeprefix("t-") for word in plain} - {""}


def unknown_words(language: str) -> set[str]:
    """Return the words of all splits, without names, that hunspell does not know in either case."""
    names = {part for e in lexicon.load().names for part in re.split(r"[ -]", e.fr + " " + e.en)}
    unknown = misspelled(spoken(language) - names, language)
    return misspelled({word[0].lower() + word[1:] for word in unknown}, language)


def misspelled(plain: set[str], language: str) -> set[str]:
    found = subprocess.run(
        ["hunspell", "-d", {"fr": "fr_FR", "en": "en_US"}[language], "-i", "utf-8", "-l"],
        input="\n".join(sorted(plain)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return set(found)


def needs_hunspell() -> None:
    if shutil.which("hunspell") is None:
        if os.environ.get("CI"):
            pytest.fail("hunspell is not installed, and .ci/run should have installed it")
        pytest.skip("hunspell is not installed (Debian: hunspell hunspell-fr hunspell-en-us)")


@pytest.mark.parametrize("language", phrasebook.LANGUAGES)
def test_every_word_is_known_to_the_speller(language: str) -> None:
    needs_hunspell()
    assert unknown_words(language) - set(ALLOWED[language]) == set()


def test_the_speller_finds_a_wrong_word() -> None:
    """The control of the test above."""
    needs_hunspell()
    found = subprocess.run(
        ["hunspell", "-d", "fr_FR", "-i", "utf-8", "-l"],
        input="mangeons manjons",
        capture_output=True,
        text=True,
    ).stdout.split()
    assert found == ["manjons"]


@cache
def conjugator() -> Any:
    with tempfile.TemporaryDirectory() as elsewhere, contextlib.chdir(elsewhere):  # it leaves a log behind
        import verbecc

    return verbecc.CompleteConjugator(lang="fr")


def judged(infinitive: str) -> dict[str, list[set[str]]]:
    """Return tense → the forms of the conjugator with their variants, without pronouns."""
    moods = conjugator().conjugate(infinitive).get_data()["moods"]
    subject = re.compile(r"^(?:j'|(?:je|tu|il|nous|vous|ils|elles) )")

    def by_person(tense: list[dict[str, Any]]) -> list[set[str]]:
        rows = {str(row["pr"].value): row["c"] for row in tense if "pr" in row}
        return [{subject.sub("", form) for form in rows[person]} for person in PERSONS if person in rows]

    imperative = moods["imperatif"]["imperatif-présent"]
    return {
        "present": by_person(moods["indicatif"]["présent"]),
        "imperfect": by_person(moods["indicatif"]["imparfait"]),
        "future": by_person(moods["indicatif"]["futur-simple"]),
        "conditional": by_person(moods["conditionnel"]["présent"]),
        "imperative": [set(row["c"]) for row in imperative],
        "participle": [set(row["c"]) for row in moods["participe"]["participe-passé"][:1]],
    }


def conjugations() -> dict[str, Conjugation]:
    loaded = lexicon.load()
    return loaded.conjugations | {verb.forms.infinitive: verb.forms for verb in loaded.verbs}


@pytest.mark.filterwarnings("ignore")  # the conjugator's own
def test_conjugations_are_those_of_an_independent_conjugator() -> None:
    wrong = []
    for infinitive, ours in sorted(conjugations().items()):
        for tense, theirs in judged(infinitive).items():
            forms = getattr(ours, tense)
            forms = [forms] if isinstance(forms, str) else list(forms)
            if len(theirs) != len(forms):
                continue  # falloir and pleuvoir are of il alone, pouvoir gives no orders
            if infinitive == "protéger" and tense in ("future", "conditional"):
                # The spelling of 1990 has protègera, the classic one, which we write, protégera.
                theirs = [{form.replace("protèg", "protég") for form in has} for has in theirs]
            wrong += [
                (infinitive, form, has) for form, has in zip(forms, theirs, strict=True) if form not in has
            ]
    assert wrong == []


@pytest.mark.filterwarnings("ignore")
def test_the_conjugator_finds_a_wrong_form() -> None:
    """The control of the test above: partir conjugated as if it were finir."""
    wrong = french.regular("partir").present
    assert all(form not in has for form, has in zip(wrong, judged("partir")["present"], strict=True))
