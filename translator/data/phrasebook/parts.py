"""The complements of a verb (objects, infinitives, pronouns) that make sense with the verb."""

from dataclasses import replace

from translator.data.phrasebook.beings import GENERAL, being, owner_of
from translator.data.phrasebook.clauses import REFLEXIVE, Pronoun
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.english_verbs import english_words
from translator.data.phrasebook.french import starts_with_vowel
from translator.data.phrasebook.nouns import QUANTITIES, fitting, noun_phrase, possessor
from translator.data.phrasebook.phrases import Phrase, Word, after_preposition, new_tag
from translator.data.phrasebook.places import PLACES, first_name, location
from translator.data.phrasebook.vocabulary import Adjective, Noun, Verb

#: Object pronouns. The columns are: French pronoun, English pronoun, person of the pronoun (as an index in
#: je, tu, il, nous, vous, ils), and the persons of the subjects with which the pronoun would be reflexive.
_PERSONS = (
    ("me", "me", 0, (0, 3)),
    ("te", "you", 1, (1, 4)),
    ("nous", "us", 3, (0, 3)),
    ("vous", "you", 4, (1, 4)),
)


def thing(
    d: Draw, noun: Noun, who: Phrase | None, *, negation: str = "", liked: str = "", one: bool = False
) -> Phrase:
    """Draw a noun phrase with the given noun, for use as an object.

    Args:
        d: source of random choices.
        noun: the noun.
        who: the subject, which may be the possessor of the object.
        negation: negation of the clause. After pas, pas encore, plus and jamais, the articles un, du and des
            become de. After que, the English article is one.
        liked: for a verb of liking, `general` if a definite object stands for a whole class of things (aimer
            le chocolat) and `once` if it does not (avoir aimé le chocolat); empty for other verbs.
        one: whether the noun is nearly always singular, as it is for the place where something is put.
    """
    one = one or bool(noun.classes & {*_PUBLIC, "room", "furniture", "meal"})
    plural = noun.counted and d.chance(0.05 if one else 0.35)
    if noun.classes & GENERAL or (liked == "general" and d.chance(0.75) and not noun.is_human):
        d.build("general article")
        return noun_phrase(noun, "general", plural=noun.counted and "season" not in noun.classes)
    described = fitting(d, noun, 0.22)
    if noun.is_human and d.chance(0.25):
        return first_name(d)
    if "family" in noun.classes:
        d.build("possessive")
        return noun_phrase(noun, "possessive", plural=plural, owner=owner_of(d, who, noun))
    if d.chance(0.07) and noun.counted and not noun.is_human and _owned(noun) and "time" not in noun.classes:
        owner = first_name(d) if d.chance(0.6) else being(d, d.noun("person", "family"), adjectives=0.0)
        if owner.en_person == 2 or owner.en[-1].text.endswith("s"):
            return possessor(d, noun, owner, plural=plural)
    kinds: tuple[str, ...] = ("definite",) * 5 + ("possessive",) * 3 + ("demonstrative",) * 2
    if "body" in noun.classes:
        kinds = ("possessive",)
    elif not liked:
        kinds += ("indefinite",) * 5
    kind = d.pick(kinds if liked != "general" else ("possessive", "demonstrative"))
    if kind == "possessive" and not _owned(noun):
        kind = "definite"
    if kind == "indefinite" and (plural if noun.is_human else not noun.fr[1] and noun.classes & _WHOLE):
        kind = "definite"
    if noun.classes & {"money", "time"} and noun.counted:
        kind = "number"
    elif d.chance(0.02) and noun.counted and not (one or noun.is_human or negation):
        d.build("tous les")
        return noun_phrase(noun, "all", plural=True)
    if d.chance(0.12) and not (noun.classes & {"body"} or noun.is_human or d.calm or negation or one):
        kind = d.pick(
            ("number", "several", "a few", "quantity", "quantity") if noun.counted else ("quantity",)
        )
    if kind == "definite" and (
        noun.lemma == "gens" or (noun.lemma in _MEALTIMES and not plural and not described)
    ):
        kind = "general"  # people, have lunch
    return _determined(d, noun, kind, who, negation, plural=plural, described=described)


#: Classes whose uncountable nouns have no partitive article: la santé, not de la santé.
_WHOLE = frozenset(("abstract", "trait", "feature", "region", "weather", "whole"))
_MEALTIMES = ("petit déjeuner", "déjeuner", "dîner", "souper")
#: Classes of places that belong to everybody, unless somebody can call them his own (`own`).
_PUBLIC = frozenset(("building", "outdoor", "region", "landscape", "sky", "weather"))


def _owned(noun: Noun) -> bool:
    """Return whether a noun makes sense with a possessive or a possessor."""
    is_public = bool(noun.classes & _PUBLIC) and not noun.classes & {"lodging", "rental", "firm", "own"}
    return not is_public and "unowned" not in noun.classes


def _determined(
    d: Draw,
    noun: Noun,
    kind: str,
    who: Phrase | None,
    negation: str,
    *,
    plural: bool,
    described: tuple[Adjective, ...],
) -> Phrase:
    """Draw an object with the given kind of determiner, which a negation may change."""
    d.build(kind)
    if kind == "quantity":
        return noun_phrase(noun, d.pick(("beaucoup", "trop", "assez")), plural=True, adjectives=described)
    if kind in ("several", "a few"):
        return noun_phrase(noun, kind, plural=True, adjectives=described)
    if kind == "number":
        return noun_phrase(noun, kind, adjectives=described, count=d.below(2, 13))
    if kind == "possessive":
        return noun_phrase(noun, kind, plural=plural, adjectives=described, owner=owner_of(d, who))
    if kind == "indefinite":
        d.build("partitive" if not noun.fr[1] else "indefinite")
        if negation in ("pas", "plus", "jamais", "pas encore"):
            d.build("pas de")
            phrase = noun_phrase(noun, "negated", plural=plural, adjectives=described)
            if not plural and noun.counted and phrase.en_person == 2:  # pas de chien becomes not … a dog
                phrase.en[0] = Word("a", phrase.en[0].tags)
            return phrase
    phrase = noun_phrase(noun, kind, plural=plural, adjectives=described)
    if negation == "que" and phrase.en[0].text == "a":
        phrase.en[0] = Word("one", phrase.en[0].tags)
    return phrase


def prepositional(d: Draw, preposition: str, noun: Noun, who: Phrase | None, english: str = "") -> Phrase:
    """Draw an object with a preposition, such as `à mon frère`.

    `english` is the English preposition. It is empty if the English verb includes the preposition or needs
    none.
    """
    is_whole = "abstract" in noun.classes and not noun.fr[1]
    if is_whole or noun.classes & (GENERAL | {"music", "weather", "instrument"}):
        kind = "definite" if noun.classes & {"instrument", "weather"} else "general"
        phrase = noun_phrase(noun, kind, plural=noun.counted and bool(noun.classes & {"music"}))
    else:
        phrase = thing(d, noun, who, one=preposition in ("sur", "dans"))
        if phrase.fr[0].text in (*QUANTITIES, *(("des", "du", "de") if preposition == "de" else ())):
            phrase = noun_phrase(noun, "definite", plural=phrase.plural)
    tag = new_tag()
    return replace(
        phrase,
        fr=after_preposition(preposition, phrase, tag),
        en=[*(Word(word, (tag,)) for word in english.split()), *phrase.en],
    )


def objects(
    d: Draw, verb: Verb, who: Phrase, *, negation: str = "", omit: str = "", once: bool = False
) -> list[Phrase]:
    """Draw the objects that a verb requires, in the order in which they follow the verb.

    Args:
        d: source of random choices.
        verb: the verb.
        who: the subject.
        negation: negation of the clause.
        omit: the object to omit (`direct` or `second`) because a pronoun or question word replaces it. If it
            is empty, no object is omitted.
        once: whether the clause is about one occasion (see `thing`).
    """
    drawn = []
    if verb.object and omit != "direct":
        drawn.append(_object(d, verb, who, negation, once=once))
        if "time" in verb.object and verb.where:  # for example, passer une heure dans le parc
            drawn.append(location(d, goes=False, classes=tuple(sorted(verb.where))))
    if verb.second and omit != "second":
        preposition, classes, english = verb.second
        told = verb.en[0] == "tell" and omit != "direct"
        english = "" if told else english or "to"
        drawn.append(prepositional(d, preposition, d.noun(*sorted(classes)), who, english))
        if told:  # tells him the truth
            what, whom = drawn
            drawn = [replace(what, en=[]), replace(whom, en=whom.en + what.en)]
    return drawn


def _object(d: Draw, verb: Verb, who: Phrase, negation: str, *, once: bool) -> Phrase:
    if verb.object & {"goes", "stays"}:
        classes = tuple(sorted(verb.where)) or PLACES
        return location(d, goes="goes" in verb.object, classes=classes)
    if "inf" in verb.object:
        d.build("infinitive")
        action = d.pick([v for v in d.lexicon.actions if _follows(verb, v)])
        if verb.lemma not in ("vouloir", "pouvoir", "devoir", "oser"):
            negation = ""  # ne veut pas manger de pain, but: n'essaie pas de manger du pain
        phrase = infinitive(d, action, who, ing=not _takes_to(verb), negation=negation)
        tag = new_tag()
        return replace(phrase, fr=[*(Word(w, (tag,)) for w in verb.preposition.split()), *phrase.fr])
    noun = d.noun(*sorted(verb.object))
    d.combine(verb.key, noun.lemma)
    if verb.lemma == "parler" and "language" in noun.classes:
        return noun_phrase(noun, "bare")  # parler chinois
    if verb.preposition:
        phrase = prepositional(d, verb.preposition, noun, who)
        if verb.lemma == "faire" and negation and negation != "que":  # pas de ski, not: pas du ski
            de = Word("de", phrase.fr[0].tags)
            phrase = replace(phrase, fr=[de, *noun_phrase(noun, "bare").fr])
        return phrase
    if verb.reflexive or ("body" in noun.classes and verb.object <= {"body"}):
        plural = noun.counted and noun.lemma in _PAIRS
        return noun_phrase(noun, "definite", plural=plural)  # les mains in: elle se lave les mains
    liked = "" if not verb.liking else "once" if once else "general"
    return thing(d, noun, who, negation=negation, liked=liked)


#: Parts of the body that are put in the plural in sentences such as: elle se lave les mains.
_PAIRS = ("main", "dent", "cheveu", "pied", "ongle", "oreille", "œil", "jambe", "bras", "doigt", "genou")


#: Verbs before an infinitive for something that takes a while, or that one does often.
_AT_LENGTH = tuple(
    "commencer,se mettre,continuer,cesser,finir,arrêter,aimer,adorer,détester,préférer".split(",")
)


def _follows(verb: Verb, action: Verb) -> bool:
    """Return whether an action can follow a verb: what one can do, one does well; what one likes, a lot."""
    if verb.lemma in ("savoir", "apprendre"):
        return "bien" in action.how
    return verb.lemma not in _AT_LENGTH or bool({"bien", "beaucoup"} & set(action.how))


def _takes_to(verb: Verb) -> bool:
    return verb.rest[-1:] == ("to",) or verb.en[0] in ("can", "must", "let", "make")


def infinitive(d: Draw, verb: Verb, who: Phrase, *, ing: bool = False, negation: str = "") -> Phrase:
    """Draw an infinitive with its objects: manger une pomme, eat an apple.

    If `ing` is true, English has the -ing form: eating an apple. If `verb` itself needs an infinitive,
    another verb is used instead. `who` is the subject that performs the action.
    """
    if "inf" in verb.object:
        verb = d.pick([v for v in d.lexicon.actions if "inf" not in v.object])
    d.combine(verb.key, "infinitive")
    tag, clitics = new_tag(), []
    if verb.reflexive:
        clitics = [Word(REFLEXIVE[who.person], (tag,))]
    object_words: list[Word] = []
    rest: list[Phrase]
    if d.lexicon.is_primary(verb) and d.chance(0.15):
        chosen = direct_pronoun(d, verb, who)
        own = new_tag()
        clitics, object_words = [Word(chosen.fr, (own,))], [Word(word, (own,)) for word in chosen.en]
        d.build("pronoun before infinitive")
        rest = objects(d, verb, who, omit="direct")
    else:
        rest = objects(d, verb, who, negation=negation)
    phrase = Phrase(
        [*clitics, Word(verb.forms.infinitive, (tag,))],
        english_words(verb, verb.en[4 if ing else 0], tag, object_words),
    )
    for part in rest:
        phrase = phrase + part
    return phrase


def direct_pronoun(d: Draw, verb: Verb, who: Phrase) -> Pronoun:
    """Draw a direct object pronoun.

    If the object of the verb can be a person, le and la are translated as `him` and `her`, otherwise as `it`.
    """
    human = bool(verb.object & {"person", "kid", "family"})
    if human and d.chance(0.5):
        french, english, person, _ = d.pick(
            [row for row in _PERSONS if who.person not in row[3] and who.en_person not in row[3]]
        )
        d.build("pronoun me te nous vous")
        return Pronoun(french, (english,), 1, (False, person > 2))
    d.build("pronoun le la les")
    french = d.pick(("le", "la", "les"))
    if human and french == "la" and starts_with_vowel(verb.forms.infinitive):
        french = "le"  # la would be elided to l', which does not show the gender
    english = {"le": "him" if human else "it", "la": "her" if human else "it", "les": "them"}[french]
    return Pronoun(french, (english,), 2, (french == "la", french == "les"))


def indirect_pronoun(d: Draw, who: Phrase, to: str, *, things_only: bool = False) -> Pronoun:
    """Draw an indirect object pronoun.

    Args:
        d: source of random choices.
        who: the subject.
        to: the English preposition before the pronoun, or empty if there is none.
        things_only: whether to exclude me, te, nous and vous.
    """
    lead = tuple(to.split())
    if d.chance(0.5) and not things_only:
        french, english, _, _ = d.pick(
            [row for row in _PERSONS if who.person not in row[3] and who.en_person not in row[3]]
        )
        d.build("pronoun me te nous vous")
        return Pronoun(french, (*lead, english), 1)
    d.build("pronoun lui leur")
    french = d.pick(("lui", "leur"))
    return Pronoun(french, (*lead, "him" if french == "lui" else "them"), 3)
