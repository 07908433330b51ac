"""Expressions of place and time, names and adverbs."""

from translator.alignment.words import words
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.nouns import fitting, name, noun_phrase
from translator.data.phrasebook.phrases import Phrase, Word, after_preposition, new_tag, pattern
from translator.data.phrasebook.vocabulary import Entry

PLACES = ("building", "outdoor", "region", "room")


def named(d: Draw, kind: str) -> Phrase:
    """Draw a name of the given kind: `first`, `surname`, `town` or `country`."""
    return name(d.pick([entry for entry in d.lexicon.names if entry.kind == kind]))


def first_name(d: Draw) -> Phrase:
    """Draw somebody's first name."""
    return named(d, "first")


def location(d: Draw, *, goes: bool, classes: tuple[str, ...] = PLACES) -> Phrase:
    """Draw a place or, if `goes` is true, a destination: dans le jardin, à Paris, en France, chez Marie."""
    if len(classes) > 2 and d.chance(0.35):
        return d.pick((in_town, in_country, at_home_of))(d, goes=goes)
    noun = d.pick([n for n in d.lexicon.of(*classes) if n.where])
    assert noun.where is not None
    preposition, english, bare = noun.where
    kind = "definite"
    described = fitting(d, noun, 0.12)
    if not bare and d.chance(0.15):
        kinds = ("possessive", "demonstrative") if noun.classes & {"room", "lodging"} else ("demonstrative",)
        kind = "definite" if preposition == "à" else d.pick(kinds)
    phrase = noun_phrase(noun, kind, owner=(0, "my") if kind == "possessive" else None, adjectives=described)
    tag = new_tag()
    if bare and not described:
        phrase.en = phrase.en[1:]
    english = ("onto" if english == "on" and noun.classes & {"surface"} else "to") if goes else english
    d.build(f"place with {preposition}")
    return Phrase(after_preposition(preposition, phrase, tag), [Word(english, (tag,)), *phrase.en])


def in_town(d: Draw, *, goes: bool) -> Phrase:
    """Draw a town after a preposition: à Paris."""
    d.build("town")
    return pattern("à_a {0}", "to_a {0}" if goes else "in_a {0}", named(d, "town"))


def country(entry: Entry, preposition: str) -> list[Word]:
    """Return the French words of a country after à (which becomes en, au or aux) or de (de, du or des)."""
    own = new_tag()
    vowel = entry.fr[0] in "AEIOUÉÎ"
    words = [Word(part, (own,)) for part in entry.fr.split()]
    if preposition == "à":
        lead = "aux" if entry.gender == "p" else ("en" if entry.gender == "f" or vowel else "au")
    else:
        lead = "des" if entry.gender == "p" else ("de" if entry.gender == "f" or vowel else "du")
    return [Word(lead), *words]


def in_country(d: Draw, *, goes: bool) -> Phrase:
    """Draw a country after a preposition: en France, au Japon, aux États-Unis."""
    d.build("country")
    entry = d.pick([entry for entry in d.lexicon.names if entry.kind == "country"])
    return country_phrase(entry, "à", "to" if goes else "in")


def country_phrase(entry: Entry, preposition: str, english: str) -> Phrase:
    """Build the phrase for a country after the given French (à or de) and English prepositions."""
    fr = country(entry, preposition)
    tag = new_tag()
    own = fr[1].tags
    return Phrase(
        [Word(fr[0].text, (tag,)), *fr[1:]],
        [Word(english, (tag,)), *(Word(part, own) for part in entry.en.split())],
    )


def at_home_of(d: Draw, *, goes: bool) -> Phrase:
    """Draw somebody's home: chez Marie, chez moi."""
    d.build("chez")
    to = "to" if goes else "at"
    if d.chance(0.4):
        french, english = d.pick((("moi", "my"), ("nous", "our")))
        return pattern(f"chez_ab {french}_c", f"{to}_a {english}_c house_b")
    return pattern("chez_ab {0}", f"{to}_a {{0}} 's_b house_b", first_name(d))


def time(d: Draw, *when: str, without: tuple[str, ...] = (), short: bool = False) -> Phrase:
    """Draw an expression of time whose kind is in `when`, such as hier.

    Expressions that start with one of `without` are left out, and long times if `short` is true.
    """
    times = (e for e in d.lexicon.times if e.kind in when and not (short and e.is_long))
    entry = d.pick([e for e in times if not e.fr.startswith(without or "\0")])
    d.build(f"time {entry.kind}")
    return fixed(entry)


def adverb(d: Draw, kind: str) -> Phrase:
    """Draw an adverb of the given kind, such as manner or frequency."""
    entry = d.pick([entry for entry in d.lexicon.adverbs if entry.kind == kind])
    return word_for_word(entry.fr, entry.en)


def word_for_word(fr: str, en: str) -> Phrase:
    """Build an expression in which every French word is linked to every English word."""
    tag = new_tag()
    return Phrase([Word(w, (tag,)) for w in words(fr)], [Word(w, (tag,)) for w in en.split()])


def fixed(entry: Entry) -> Phrase:
    """Build the phrase for an entry, with the word links that the table contains for the entry."""
    fr, en = words(entry.fr), words(entry.en)
    tags: dict[tuple[int, int], int] = {link: new_tag() for link in entry.links}
    return Phrase(
        [Word(w, tuple(tag for (i, _), tag in tags.items() if i == k)) for k, w in enumerate(fr)],
        [Word(w, tuple(tag for (_, j), tag in tags.items() if j == k)) for k, w in enumerate(en)],
    )
