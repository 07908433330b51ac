"""Captions of pictures: who does what where."""

from translator.data.phrasebook import parts, places
from translator.data.phrasebook.clauses import Clause
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.nouns import fitting, noun_phrase
from translator.data.phrasebook.phrases import Phrase, pattern
from translator.data.phrasebook.statements import say
from translator.data.phrasebook.vocabulary import Noun

#: What one wears two of.
_BY_TWO = (
    "botte",
    "chaussure",
    "gant",
    "chaussette",
    "basket",
    "sandale",
    "pantoufle",
    "boucle d'oreille",
    "talon",
)


def caption(d: Draw) -> Phrase:
    """Deux jeunes filles jouent au ballon sur la plage."""
    d.build("caption")
    doing = [v for v in d.lexicon.verbs if not v.state and not v.object & {"that", "inf", "goes"} and v.where]
    verb = d.pick(doing)
    noun = d.pick(d.lexicon.of(*sorted(c for c in verb.subject if c != "family")))
    who = _group(d, noun)
    drawn = Clause(who, verb, "present")
    d.combine(verb.key, "caption")
    drawn.objects = parts.objects(d, verb, who)
    if d.chance(0.85) and "stays" not in verb.object:
        drawn.tail = [places.location(d, goes=False, classes=tuple(sorted(verb.where)))]
    if d.chance(0.25) and noun.is_human:
        garment = d.noun("wearable")
        wears = noun_phrase(garment, "indefinite", plural=garment.lemma in _BY_TWO)
        who.fr, who.en = list(who.fr), list(who.en)
        extra = pattern("avec_a {0}", "with_a {0}", wears)
        who.fr += extra.fr
        who.en += extra.en
        d.build("avec")
    return say(d, drawn)


def _group(d: Draw, noun: Noun) -> Phrase:
    described = fitting(d, noun, 0.4)
    if noun.counted and d.chance(0.45):
        if d.chance(0.5):
            d.build("number")
            return noun_phrase(noun, "number", adjectives=described, count=d.below(2, 6))
        return noun_phrase(noun, "indefinite", plural=True, adjectives=described)
    d.build("indefinite")
    return noun_phrase(noun, "indefinite", adjectives=described)


def caption_noun(d: Draw) -> Phrase:
    """Une femme avec un chapeau rouge devant une maison."""
    d.build("caption without a verb")
    who = _group(d, d.noun("person", "job"))
    kind = d.pick(("avec", "en train de", "à côté de", "qui porte"))
    noun = d.noun("wearable")
    described = fitting(d, noun, 0.5)
    wears = noun_phrase(noun, "indefinite", plural=noun.lemma in _BY_TWO, adjectives=described)
    if kind == "avec":
        place = places.location(d, goes=False)
        return pattern("{0} avec_a {1} {2} .", "{0} with_a {1} {2} .", who, wears, place)
    if kind == "en train de":
        action = parts.infinitive(d, d.pick(parts.doings(d)), who, ing=True)
        return pattern("{0} en_a train_a de_a {1} .", "{0} {1} .", who, action)
    fr = "portent" if who.plural else "porte"
    if kind == "qui porte":
        return pattern(f"{{0}} qui_a {fr}_b {{1}} .", "{0} wearing_ab {1} .", who, wears)
    other = _group(d, d.noun("person", "pet", "farm"))
    return pattern("{0} à_a côté_a de_a {1} .", "{0} next_a to_a {1} .", who, _de(other))


def _de(other: Phrase) -> Phrase:
    if other.fr[0].text == "des":
        other.fr = other.fr[1:]
    return other
