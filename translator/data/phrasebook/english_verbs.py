"""The words of an English verb in a given tense: auxiliaries, main words and particle."""

from translator.data.phrasebook.english import BE_PAST, BE_PRESENT
from translator.data.phrasebook.phrases import Word, spread
from translator.data.phrasebook.vocabulary import Verb

BASE, THIRD, PAST, PARTICIPLE, ING = range(5)


def english_verb(verb: Verb, tense: str, person: int, *, split: bool) -> tuple[list[str], list[str]]:
    """Return the auxiliaries of an English verb, and a list of its other words without its particle.

    Args:
        verb: the verb.
        tense: name of the English tense, as returned by `clauses.aspect`.
        person: index in I, you, he, we, you, they.
        split: whether the verb must have an auxiliary, because the clause is a question or contains `not`.
    """
    base = verb.en[BASE]
    if base in ("can", "must"):
        return _modal(base, tense, person, split=split)
    if tense == "would like":  # je voudrais
        return ["would"], ["like", *verb.rest]
    has, be = ("has" if person == 2 else "have"), BE_PRESENT[person]
    does = "does" if person == 2 else "do"
    auxiliaries, form = {
        "present": ([does], BASE) if split else ([], THIRD if person == 2 else BASE),
        "past": (["did"], BASE) if split else ([], PAST),
        "progressive": ([be], ING),
        "past progressive": ([BE_PAST[person]], ING),
        "perfect": ([has], PARTICIPLE),
        "past perfect": (["had"], PARTICIPLE),
        "perfect progressive": ([has, "been"], ING),
        "just": ([has, "just"], PARTICIPLE),
        "future": (["will"], BASE),
        "going to": ([be, "going", "to"], BASE),
        "would": (["would"], BASE),
    }[tense]
    if base == "be" and tense in ("present", "past"):
        return [(BE_PAST if tense == "past" else BE_PRESENT)[person]], list(verb.rest)
    return auxiliaries, [verb.en[form], *verb.rest]


def _modal(base: str, tense: str, person: int, *, split: bool) -> tuple[list[str], list[str]]:
    """Do the same as `english_verb` for can or must. Some tenses use be able to or have to instead."""
    if base == "can":
        if tense in ("present", "progressive"):
            return ["can"], []
        if tense == "future":
            return ["will"], ["be", "able", "to"]
        if tense == "going to":
            return [BE_PRESENT[person], "going", "to"], ["be", "able", "to"]
        if tense == "was able":
            return [BE_PAST[person]], ["able", "to"]
        return ["could"], []
    if tense == "future":
        return ["will"], ["have", "to"]
    if tense == "going to":
        return [BE_PRESENT[person], "going", "to"], ["have", "to"]
    if tense == "would":
        return ["should"], []
    if tense in ("past", "perfect", "past perfect"):
        return (["did"], ["have", "to"]) if split else ([], ["had", "to"])
    has = "has" if person == 2 else "have"
    return (["must"], []) if split else ([], [has, "to"])


def english_words(verb: Verb, form: str, tag: int, object_words: list[Word]) -> list[Word]:
    """Return a form of an English verb with its object pronouns and particle: turn it on, look at it."""
    main, particle = spread(" ".join((form, *verb.rest)), tag), spread(verb.particle, tag)
    return [*main, *(object_words + particle if object_words else particle)]
