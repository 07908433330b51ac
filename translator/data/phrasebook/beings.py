"""Subjects (pronouns, names and noun phrases) and possessors."""

from dataclasses import replace

from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.nouns import EN_POSSESSIVES, fitting, noun_phrase, possessor
from translator.data.phrasebook.phrases import Phrase, Word, new_tag, pattern
from translator.data.phrasebook.places import first_name, word_for_word
from translator.data.phrasebook.vocabulary import Noun, Verb, leaves

HUMAN = leaves(["human"])
LIVING = leaves(["living"])
#: Classes of jobs. A verb that only people with these jobs can have as its subject (prescrire) is human, too.
WORKERS = frozenset(("medic", "law", "judge", "farmer"))
#: Classes of nouns that have a definite article in French and no article in English: le football, football.
GENERAL = frozenset(("game", "sport", "subject", "language"))
#: Subject pronouns. The columns are: French pronoun, English pronoun, person of the French verb (as an index
#: in je, tu, il, nous, vous, ils), person of the English verb (as an index in I, you, he, we, you, they),
#: whether the pronoun is feminine (None if its gender is open), and English possessive.
SUBJECTS = (
    ("je", "I", 0, 0, None, "my"),
    ("tu", "you", 1, 1, None, "your"),
    ("il", "he", 2, 2, False, "his"),
    ("elle", "she", 2, 2, True, "her"),
    ("on", "we", 2, 3, False, "our"),
    ("nous", "we", 3, 3, None, "our"),
    ("vous", "you", 4, 4, None, "your"),
    ("ils", "they", 5, 5, False, "their"),
    ("elles", "they", 5, 5, True, "their"),
)


#: Relative frequency of each pronoun in `SUBJECTS`, roughly the same as in speech.
_SUBJECT_WEIGHTS = (14, 5, 9, 6, 6, 4, 4, 3, 1)
#: These two dicts map a subject pronoun to a phrase that has the person and gender of the pronoun. The
#: verb of a pattern agrees with this phrase if the pattern contains the pronoun as a word, not as a slot.
FRENCH_PRONOUNS: dict[str, Phrase] = {}
ENGLISH_PRONOUNS: dict[str, Phrase] = {}
for _fr, _en, _person, _en_person, _feminine, _owner in SUBJECTS:
    _who = Phrase([], [], _person, _en_person, bool(_feminine), _owner, human=True, head=-1)
    FRENCH_PRONOUNS[_fr] = _who
    ENGLISH_PRONOUNS.setdefault(_en.lower(), _who)
FRENCH_PRONOUNS["j'"] = FRENCH_PRONOUNS["je"]


def pronoun(d: Draw, *, things: bool = False, only: tuple[str, ...] = ()) -> Phrase:
    """Draw a subject pronoun. The gender of je, tu, nous and vous is random.

    Args:
        d: source of random choices.
        things: whether the pronoun refers to a thing, so that il and elle are translated as `it`.
        only: French pronouns to choose from. If it is empty, all pronouns are allowed. It is ignored if
            `things` is true.
    """
    if things:
        only = ("il", "elle", "ils", "elles")
    rows = zip(SUBJECTS, _SUBJECT_WEIGHTS, strict=True)
    french, english, person, en_person, feminine, owner = d.pick(
        [row for row, weight in rows if not only or row[0] in only for _ in range(weight)]
    )
    if things and person == 2:
        english, owner = "it", "its"
    tag = new_tag()
    return Phrase(
        [Word(french, (tag,))],
        [Word(english, (tag,))],
        person=person,
        en_person=en_person,
        feminine=d.chance(0.4) if feminine is None else feminine,
        owner=owner,
        human=not things,
        head=tag,
    )


def subject(d: Draw, verb: Verb, *, pronouns: float = 0.5) -> Phrase:
    """Draw a subject that makes sense with a verb.

    `pronouns` is the probability that the subject is a pronoun. If `d.calm` is true, a probability below
    0.65 is raised to 0.65.
    """
    human = not verb.subject.isdisjoint(HUMAN | WORKERS)
    living = human or not verb.subject.isdisjoint(LIVING)
    if (living or not d.lexicon.has_living_twin(verb)) and d.chance(
        max(pronouns, 0.65) if d.calm else pronouns
    ):
        d.build("subject pronoun")
        return pronoun(d) if human else pronoun(d, things=not living, only=("il", "elle", "ils", "elles"))
    if human and not d.known and d.chance(0.05):
        d.build("quelqu'un, tout le monde")
        return replace(word_for_word(*d.pick(_ANYONE)), owner="their")
    if human and d.chance(0.35):
        one = first_name(d)
        if d.chance(0.8):
            return one
        d.build("coordination of subjects")
        return both(one, first_name(d) if d.chance(0.5) else relative_of(d, one))
    return being(
        d,
        d.noun(d.pick(("person", "family")))
        if human and d.chance(0.75) and (verb.subject >= HUMAN)
        else d.pick(d.lexicon.of(*sorted(verb.subject))),
    )


def anybody(d: Draw) -> Phrase:
    """Draw a subject, usually a person, that can do something on purpose."""
    return subject(d, d.pick(d.lexicon.actions))


_ANYONE = (("tout le monde", "everyone"), ("quelqu'un", "someone"))


def relative_of(d: Draw, one: Phrase) -> Phrase:
    """Draw a relative of the person `one`, such as sa mère."""
    noun = d.noun("family")
    return noun_phrase(noun, "possessive", owner=(2, one.owner))


def both(one: Phrase, other: Phrase) -> Phrase:
    """Join two phrases with et, as in Paul et sa mère."""
    joined = pattern("{0} et_a {1}", "{0} and_a {1}", one, other)
    joined.person = joined.en_person = 5
    joined.feminine = one.feminine and other.feminine
    joined.owner, joined.human, joined.head = "their", True, one.head
    return joined


def being(d: Draw, noun: Noun, *, adjectives: float = 0.2) -> Phrase:
    """Draw a noun phrase with the given noun, for use as a subject or after a preposition.

    `adjectives` is the probability that the noun has an adjective. If `d.calm` is true, the actual
    probability is only a third of `adjectives`.
    """
    if noun.classes & GENERAL:
        return noun_phrase(noun, "general", plural=noun.counted)
    plural = noun.counted and d.chance(0.33)
    described = fitting(d, noun, adjectives)
    if "family" in noun.classes:
        if d.chance(0.2):
            return possessor(d, noun, first_name(d), plural=plural)
        return noun_phrase(noun, "possessive", plural=plural, owner=any_owner(d, noun))
    kind = _kind(d, noun, plural=plural)
    if kind == "possessive":
        return noun_phrase(noun, kind, plural=plural, adjectives=described, owner=any_owner(d))
    if kind == "number":
        d.build("number")
        return noun_phrase(noun, kind, adjectives=described, count=d.below(2, 13))
    return noun_phrase(noun, kind, plural=plural, adjectives=described)


def _kind(d: Draw, noun: Noun, *, plural: bool) -> str:
    kind = d.pick(("definite",) * 8 + ("possessive",) * 3 + ("demonstrative",) * 2 + ("indefinite",) * 2)
    if d.known and kind == "indefinite":
        kind = "definite"
    elif d.chance(0.08) and noun.counted and not d.calm and not d.known:
        kind = d.pick(("several", "a few", "number")) if plural else "every"
    is_owned = "unowned" not in noun.classes and (plural or "job" not in noun.classes)
    if kind == "possessive" and not is_owned:
        kind = "definite"
    d.build(kind)
    return "general" if kind == "definite" and noun.lemma == "gens" else kind


def any_owner(d: Draw, noun: Noun | None = None) -> tuple[int, str]:
    """Draw a possessor (my, your, his …) without regard to the rest of the sentence.

    The possessive son is translated as `his`, because the gender of the possessor is unknown; but with a
    husband, as `her`.

    Args:
        d: source of random choices.
        noun: the noun that is owned. If it is a spouse, the possessor is singular.

    Returns:
        the index of the possessor in je, tu, il, nous, vous, ils, and the English possessive.
    """
    alone = noun is not None and "spouse" in noun.classes
    place = d.pick((0, 1, 2) if alone else (0, 0, 1, 2, 3, 4, 5))
    d.build("possessive")
    return place, "her" if place == 2 and alone and noun and not noun.feminine else EN_POSSESSIVES[place]


def owner_of(d: Draw, who: Phrase | None, noun: Noun | None = None) -> tuple[int, str]:
    """Draw the possessor of an object, usually the subject `who`. See `any_owner` for the result."""
    alone = noun is not None and "spouse" in noun.classes
    unlikely = "her" if noun is not None and noun.feminine else "his"  # her wife, his husband
    if alone and (who is None or who.plural or who.owner in ("our", unlikely)):
        return any_owner(d, noun)
    if who is None or d.chance(0.25):
        other = {1: 4, 4: 1}.get(who.person) if who else None  # not tu with votre
        place = d.pick([p for p in ((0, 1, 4) if alone else (0, 1, 3, 4)) if p != other])
        return place, EN_POSSESSIVES[place]
    if who.owner == "our":
        return 3, who.owner  # on, which is we here: on a perdu nos clés
    if who.person in (2, 5):
        return who.person, who.owner
    return who.person, EN_POSSESSIVES[who.person]
