"""Sentences with object pronouns, and imperatives: je le lui donne, donne-le-moi."""

from translator.data.phrasebook import beings, parts
from translator.data.phrasebook.clauses import REFLEXIVE, Clause, Pronoun
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.english_verbs import english_words
from translator.data.phrasebook.numbers import number
from translator.data.phrasebook.phrases import Phrase, Word, new_tag, pattern, spread
from translator.data.phrasebook.statements import TENSES, clause, maybe_not, primary, say, verbs
from translator.data.phrasebook.vocabulary import VERBAL, Verb, leaves


def with_direct_pronoun(d: Draw) -> Phrase:
    """Draw a sentence with a direct object pronoun, like: Je le mange."""
    verb = d.pick(d.lexicon.primary)
    drawn = clause(d, verb=verb, omit="direct", negation=maybe_not(d), tense=d.pick(TENSES))
    drawn.pronouns = [parts.direct_pronoun(d, verb, drawn.subject)]
    d.combine(verb.key, "direct pronoun")
    return say(d, drawn)


def with_indirect_pronoun(d: Draw) -> Phrase:
    """Draw a sentence with an indirect object pronoun, like: Il me donne un livre."""
    human = verbs(d, _takes_lui)
    giving = verbs(d, _gives)
    verb = d.pick(human if d.chance(0.25) else giving)
    negation = maybe_not(d)
    if verb.second:
        drawn = clause(d, verb=verb, omit="second", negation=negation, tense=d.pick(TENSES))
        dative = verb.en[0] in _DATIVE and not verb.particle
        to = "" if dative else verb.second[2]
        pronoun = parts.indirect_pronoun(d, drawn.subject, to)
        if not dative:
            return _pronoun_after_object(d, drawn, pronoun)
    else:
        drawn = clause(d, verb=verb, omit="direct", negation=negation, tense=d.pick(TENSES))
        pronoun = parts.indirect_pronoun(d, drawn.subject, "")
    drawn.pronouns = [pronoun]
    d.combine(verb.key, "indirect pronoun")
    return say(d, drawn)


def _takes_lui(verb: Verb) -> bool:
    """Return whether lui replaces the object of a verb, as in il lui parle, but not in il pense à lui."""
    is_human = verb.preposition == "à" and bool(verb.object & beings.HUMAN)
    return is_human and not verb.reflexive and verb.lemma != "penser"


#: English verbs that can have two objects without a preposition (gives him a book). With other verbs, the
#: person follows a preposition (explains the problem to him).
_DATIVE = frozenset(("give show lend send tell bring offer sell teach read write serve throw").split())


def _gives(verb: Verb) -> bool:
    return verb.second is not None and verb.second[0] == "à" and bool(verb.second[1] & beings.HUMAN)


def _pronoun_after_object(d: Draw, drawn: Clause, pronoun: Pronoun) -> Phrase:
    """Return the sentence with the English pronoun after the English object: explains the rule to me.

    The English pronoun is linked to the French pronoun, which precedes the verb.
    """
    tag = new_tag()
    drawn.objects.append(Phrase([], [Word(word, (tag,)) for word in pronoun.en]))
    drawn.pronouns, drawn.linked[pronoun.fr] = [Pronoun(pronoun.fr, (), pronoun.slot)], tag
    return say(d, drawn)


def with_two_pronouns(d: Draw) -> Phrase:
    """Draw a sentence with a direct and an indirect object pronoun, like: Il me le donne."""
    d.build("two pronouns")
    verb = d.pick(primary(d, _gives))
    drawn = clause(d, verb=verb, omit="second", negation=maybe_not(d), tense=d.pick(TENSES))
    drawn.objects = []
    assert verb.second is not None
    direct = d.pick(("le", "la", "les", "en") if verb.en[0] in _DATIVE - {"tell"} else ("le", "la", "les"))
    english = {"le": "it", "la": "it", "les": "them", "en": "some"}[direct]
    agrees = None if direct == "en" else (direct == "la", direct == "les")
    if drawn.negation and direct == "en":
        english = "any"
    drawn.pronouns = [
        Pronoun(direct, (english,), 5 if direct == "en" else 2, agrees),
        parts.indirect_pronoun(d, drawn.subject, verb.second[2] or "to"),
    ]
    d.combine(verb.key, "two pronouns")
    return say(d, drawn)


_COUNTED = leaves(["eatable", "drink", "object", "stationery", "clothes"])


def with_en(d: Draw) -> Phrase:
    """Draw a sentence with en, like: J'en ai deux."""
    d.build("en")
    verb = d.pick(
        primary(
            d, lambda v: not (v.liking or v.second or v.object & beings.HUMAN) and bool(v.object & _COUNTED)
        )
    )
    negation = maybe_not(d)
    drawn = clause(d, verb=verb, omit="direct", negation=negation, tense=d.pick(TENSES), simple=True)
    if d.chance(0.4) and not negation:
        count = d.below(2, 13)
        tag = new_tag()
        words = number(count)
        drawn.objects.append(Phrase([Word(w, (tag,)) for w in words[0]], []))
        drawn.pronouns = [Pronoun("en", (*words[1], "of", "them"), 5)]
        drawn.linked["en"] = tag
        d.build("en with a number")
    else:
        drawn.pronouns = [Pronoun("en", ("any" if negation else "some",), 5)]
    d.combine(verb.key, "en")
    return say(d, drawn)


def with_y(d: Draw) -> Phrase:
    """Draw a sentence with y, like: J'y vais."""
    d.build("y")
    going = verbs(d, lambda v: bool(v.object & {"goes", "stays"}))
    about = verbs(d, lambda v: v.preposition == "à" and not v.object & (beings.HUMAN | set(VERBAL)))
    verb = d.pick(going if d.chance(0.7) else about)
    drawn = clause(d, verb=verb, omit="direct", negation=maybe_not(d), tense=d.pick(TENSES))
    drawn.pronouns = [Pronoun("y", ("there" if verb.object & {"goes", "stays"} else "it",), 4)]
    d.combine(verb.key, "y")
    return say(d, drawn)


#: For each person of the imperative (as an index in je, tu, il, nous, vous, ils), the pronoun of this person
#: and the index of the verb form in `Conjugation.imperative`.
_IMPERATIVE_PERSONS = {1: ("tu", 0), 3: ("nous", 1), 4: ("vous", 2)}


def order(d: Draw) -> Phrase:
    """Draw a sentence in the imperative, like: Mange ta soupe !"""
    d.build("imperative")
    d.calm = True
    verb = d.pick(verbs(d, lambda v: bool(v.subject & beings.HUMAN) and not (v.state or v.happens)))
    person = d.pick((1, 1, 4, 4, 3))
    if verb.lemma == "se rendre" and person == 4:
        person = 1  # "rendez-vous" would mean an appointment
    who = beings.pronoun(d, only=(_IMPERATIVE_PERSONS[person][0],))
    d.combine(verb.key, "imperative")
    d.build(_IMPERATIVE_PERSONS[person][0])
    negation = d.pick(("pas", "pas", "jamais", "plus")) if d.chance(0.3) and person != 3 else ""
    if negation == "plus" and "inf" in verb.object:
        negation = "pas"  # not: don't start to … anymore
    d.build(*([negation] if negation else []))
    chosen, omit = None, ""
    if d.lexicon.is_primary(verb) and d.chance(0.35):
        omit = "direct"
        chosen = parts.direct_pronoun(d, verb, beings.pronoun(d, only=("tu" if person != 3 else "nous",)))
        if chosen.fr in ("te", "vous", "nous"):
            chosen = Pronoun("les", ("them",), 2)
    elif verb.object & {"goes"} and d.chance(0.3) and person != 1:
        chosen, omit = Pronoun("y", ("there",), 4), "direct"
    elif _gives(verb) and d.chance(0.5) and verb.en[0] in _DATIVE and not verb.particle:
        french, english = d.pick((("lui", "him"), ("leur", "them"), ("me", "me"))[: 3 - (person == 3)])
        chosen, omit = Pronoun(french, (english,), 3), "second"
    rest = parts.objects(d, verb, who, negation=negation, omit=omit)
    return _ordered(verb, person, negation, chosen, rest)


def _ordered(verb: Verb, person: int, negation: str, chosen: Pronoun | None, rest: list[Phrase]) -> Phrase:
    v, n, own = new_tag(), new_tag(), new_tag()
    form = Word(verb.forms.imperative[_IMPERATIVE_PERSONS[person][1]], (v,))
    clitics = [Word(REFLEXIVE[person], (v,))] if verb.reflexive else []
    object_words: list[Word] = []
    if chosen:
        clitics.append(Word(chosen.fr, (own,)))
        object_words = [Word(word, (own,)) for word in chosen.en]
    if negation:
        fr = [Word("ne", (n,)), *clitics, form, Word(negation, (n,))]
    else:
        strong = {"me": "moi", "te": "toi"}
        fr = [form, *(Word("-" + strong.get(w.text, w.text), w.tags) for w in clitics)]
    en = {
        "": spread("let 's", v) if person == 3 else [],
        "pas": spread("do not", n),
        "plus": spread("do not", n),
        "jamais": spread("never", n),
    }[negation]
    en = en + english_words(verb, verb.en[0], v, object_words)
    phrase = Phrase(fr, en)
    for part in rest:
        phrase = phrase + part
    if negation == "plus":
        phrase.en.append(Word("anymore", (n,)))
    return pattern("{0} !", "{0} !", phrase)
