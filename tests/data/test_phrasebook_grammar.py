"""The grammar of the phrasebook, clause by clause; test_phrasebook.py tests its output as a whole."""

import re
from itertools import islice

import pytest

from translator.alignment.words import words
from translator.data import phrasebook
from translator.data.phrasebook import beings, constructions, lexicon, splits
from translator.data.phrasebook.clauses import Clause, realise
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.phrases import Sentence, finish, pattern


def test_unknown_split_names_the_allowed_ones_at_once() -> None:
    with pytest.raises(ValueError, match=r"'dev'.*train, val, test, test_compositional, challenge"):
        phrasebook.pairs("dev")


def test_every_way_to_build_a_sentence_is_drawn() -> None:
    builders = {build for build, weight in constructions.CONSTRUCTIONS if weight > 0}
    assert len(builders) == len(constructions.CONSTRUCTIONS)


def test_lexicon_is_large_enough() -> None:
    assert len(lexicon.lemmas(lexicon.load())) >= 1200


def _said(lemma: str, who: str, tense: str, negation: str = "", question: str = "") -> Sentence:
    loaded = lexicon.load()
    verb = next(v for v in loaded.verbs if v.lemma == lemma and v.intransitive)
    clause = Clause(beings.pronoun(Draw(loaded, 1), only=(who,)), verb, tense, negation, question)
    mark = "?" if question else "."
    return finish(pattern(f"{{0}} {mark}", f"{{0}} {mark}", realise(clause, loaded.conjugations)))


@pytest.mark.parametrize(
    ("said", "fr", "en", "links"),
    [
        (("dormir", "tu", "passé composé"), "Tu as dormi.", "You slept.", "0-0 1-1 2-1 3-2"),
        (
            ("dormir", "tu", "passé composé", "pas"),
            "Tu n'as pas dormi.",
            "You didn't sleep.",
            "0-0 1-2 2-1 2-3 3-2 4-1 4-3 5-4",
        ),
        (
            ("danser", "on", "present", "", "est-ce que"),
            "Est-ce qu'on danse ?",
            "Are we dancing?",
            "0-0 1-0 2-0 3-1 4-0 4-2 5-3",
        ),
        (
            ("danser", "il", "present", "jamais", "inversion"),
            "Ne danse-t-il jamais ?",
            "Does he never dance?",
            "0-2 1-0 1-3 2-1 3-2 4-4",
        ),
        (
            ("se réveiller", "elle", "futur proche"),
            "Elle va se réveiller.",
            "She's going to wake up.",
            "0-0 1-1 1-2 1-3 2-4 2-5 3-4 3-5 4-6",
        ),
    ],
)
def test_links_of_known_clauses(said: tuple[str, ...], fr: str, en: str, links: str) -> None:
    sentence = _said(*said)
    assert (sentence.fr, sentence.en) == (fr, en)
    assert " ".join(f"{i}-{j}" for i, j in sentence.links) == links


def test_links_fit_the_words() -> None:
    for example in islice(splits.from_grammar(), 1000):
        sentence = example.sentence
        assert sentence.links[-1] == (len(words(sentence.fr)) - 1, len(words(sentence.en)) - 1), sentence


def test_pronouns_and_possessives_of_drawn_sentences() -> None:
    sentences = [example.sentence for example in islice(splits.from_grammar(7), 20_000)]
    english = "\n".join(sentence.en for sentence in sentences)
    assert re.search(r"\b(?:it|them|some|anything) (?:back|off|away)\b", english)
    assert not re.search(r"\b(?:back|off|away) (?:it|them|some|anything)\b", english)
    assert re.search(r"n.t \w+ any more\b", english)
    assert "any anymore" not in english
    sports = re.compile(r" fai\w+ pas (d'|de |du |de la |de l')(?:ski|surf|natation|camping|escalade)")
    assert {found[1] for s in sentences if (found := sports.search(s.fr))} <= {"de ", "d'"}
    assert re.search(r"^Her husband\b", english, re.MULTILINE)
    assert not re.search(r"^His husband\b|^Let's \w+ me\b", english, re.MULTILINE)
    ours = [fr for fr, en, _ in sentences if fr.startswith("On ") and " our " in en]
    assert len(ours) > 10
    assert not [fr for fr in ours if re.search(r"\b(?:son|sa|ses)\b", fr)]
    theirs = [en for fr, en, _ in sentences if fr.startswith("Personne n") and " their " in en]
    assert theirs
    assert not re.search(r"^Nobody .* his ", english, re.MULTILINE)
    # One does not say: il a aimé du sucre. In English, he liked some sugar has no "some".
    liked = [fr for fr, _, _ in sentences if re.search(r"\b(?:aimé|adoré|détesté)\b", fr)]
    assert len(liked) > 20
    assert not [fr for fr in liked if re.search(r"(?:aimé|adoré|détesté)e?s? (?:du|un|une) ", fr)]
