"""Noun phrases with a relative clause (qui, que, où or dont), such as le livre que je lis."""

from dataclasses import replace

from translator.data.phrasebook import places
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.nouns import noun_phrase
from translator.data.phrasebook.phrases import Phrase, Word, new_tag, pattern
from translator.data.phrasebook.sentences import TOLD, be_adjective, it_is, put
from translator.data.phrasebook.statements import clause, say, verbs
from translator.data.phrasebook.vocabulary import VERBAL, Noun, Verb


def _joined(head: Phrase, tail: Phrase) -> Phrase:
    return replace(head, fr=head.fr + tail.fr, en=head.en + tail.en)


def described_by_qui(d: Draw, noun: Noun, head: Phrase) -> Phrase:
    """Add a relative clause such as `qui dort` to `head`, which is a phrase with the given noun.

    If no verb makes sense with the noun, return `head` unchanged.
    """
    d.build("relative qui")
    fitting = verbs(d, lambda v: bool(v.subject & noun.classes) and "inf" not in v.object)
    if not fitting:
        return head
    verb = d.pick(fitting)
    tag = new_tag()
    english = "who" if noun.is_human else "that"
    who = replace(head, fr=[Word("qui", (tag,))], en=[Word(english, (tag,))])
    drawn = clause(d, verb=verb, subject=who, tense=d.pick(TOLD), simple=d.chance(0.6))
    d.combine(verb.key, "qui")
    return _joined(head, put(d, drawn))


def described_by_que(d: Draw, noun: Noun, head: Phrase) -> Phrase:
    """Add a relative clause such as `que j'ai achetée` to `head`, which is a phrase with the given noun.

    If no verb makes sense with the noun, return `head` unchanged.
    """
    fitting = verbs(
        d, lambda v: v.direct and not v.reflexive and not v.measures and bool(v.object & noun.classes)
    )
    if not fitting:
        return head
    d.build("relative que")
    verb = d.pick(fitting)
    d.combine(verb.key, "relative que")
    drawn = clause(d, verb=verb, omit="direct", tense=d.pick(TOLD), simple=d.chance(0.7))
    drawn.agrees = (head.feminine, head.plural)
    return _joined(head, pattern("que_a {0}", "that_a {0}", put(d, drawn)))


def described_by_where(d: Draw, noun: Noun, head: Phrase) -> Phrase:
    """Add a relative clause such as `où j'habite` to `head`, which is a phrase with the given noun.

    If no verb makes sense with the noun, return `head` unchanged.
    """
    fitting = verbs(d, lambda v: bool(v.where & noun.classes) and "goes" not in v.object)
    if not fitting:
        return head
    d.build("relative où")
    verb = d.pick(fitting)
    d.combine(verb.key, "relative où")
    omit = "direct" if verb.object & {"stays"} else ""
    drawn = clause(d, verb=verb, tense=d.pick(TOLD), simple=True, omit=omit)
    return _joined(head, pattern("où_a {0}", "where_a {0}", put(d, drawn)))


def _of_what(verb: Verb) -> bool:
    """Return whether dont can replace the verb's object and its de, as it cannot in faire de la natation."""
    return verb.preposition == "de" and verb.object.isdisjoint((*VERBAL, "outing", "training", "instrument"))


def described_by_dont(d: Draw, noun: Noun, head: Phrase) -> Phrase:
    """Add a relative clause such as `dont je parle` to `head`, which is a phrase with the given noun.

    If no verb makes sense with the noun, return `head` unchanged.
    """
    fitting = verbs(d, lambda v: _of_what(v) and bool(v.object & noun.classes))
    if not fitting:
        return head
    d.build("relative dont")
    verb = d.pick(fitting)
    d.combine(verb.key, "relative dont")
    drawn = clause(d, verb=verb, omit="direct", tense=d.pick(TOLD), simple=True)
    return _joined(head, pattern("dont_a {0}", "that_a {0}", put(d, drawn)))


_RELATIVES = (described_by_qui, described_by_qui, described_by_que, described_by_que, described_by_que)


def relative(d: Draw) -> Phrase:
    """Draw a sentence with a relative clause, like: Je connais la ville où tu habites."""
    build = d.pick((*_RELATIVES, described_by_where, described_by_dont))
    if build is described_by_where:
        noun = d.pick(d.lexicon.of(*places.PLACES))
    elif build is described_by_dont:
        of = verbs(d, _of_what)
        noun = d.noun(*sorted(d.pick(of).object))
    else:
        noun = d.noun("human", "animal", "thing", "eatable", "clothes", "vehicle")
    plural = noun.counted and d.chance(0.3)
    if "family" in noun.classes:
        head = noun_phrase(noun, "possessive", plural=plural, owner=(0, "my"))
    else:
        kind = d.pick(("definite", "definite", "definite", "demonstrative"))
        head = noun_phrase(noun, kind, plural=plural)
    place = d.pick(("subject", "object", "c'est", "voilà"))
    phrase = build(d, noun, head)
    if place == "voilà":
        return pattern(
            "voilà_a {0} .", "here_a is_a {0} ." if head.en_person == 2 else "here_a are_a {0} .", phrase
        )
    if place == "c'est" or (place == "object" and not _takers(d, noun)):
        d.build("c'est")
        return it_is(phrase)
    if place == "object":
        verb = d.pick(_takers(d, noun))
        drawn = clause(d, verb=verb, omit="direct", tense=d.pick(TOLD), simple=True)
        drawn.objects.insert(0, phrase)
        return say(d, drawn)
    return _with_relative_subject(d, noun, phrase)


def _takers(d: Draw, noun: Noun) -> list[Verb]:
    return verbs(d, lambda v: v.direct and not v.reflexive and not v.second and bool(v.object & noun.classes))


def _with_relative_subject(d: Draw, noun: Noun, phrase: Phrase) -> Phrase:
    adjectives = [a for a in d.lexicon.adjectives if a.applies & noun.classes]
    acting = verbs(d, lambda v: bool(v.subject & noun.classes) and v.intransitive)
    if adjectives and (not acting or d.chance(0.5)):
        return say(
            d, be_adjective(d, phrase, d.pick(adjectives), tense=d.pick(("present", "present", "imparfait")))
        )
    verb_list = acting or verbs(d, lambda v: bool(v.subject & noun.classes))
    if not verb_list:
        return it_is(phrase)
    verb = d.pick(verb_list)
    return say(d, clause(d, verb=verb, subject=phrase, tense=d.pick(TOLD), simple=True))
