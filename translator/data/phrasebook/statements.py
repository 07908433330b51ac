"""Sentences of one clause, for example with a certain tense, a negation, a modal verb or the passive."""

from collections.abc import Callable
from types import FunctionType

from translator.data.phrasebook import beings, parts, places
from translator.data.phrasebook.adjuncts import adjuncts
from translator.data.phrasebook.clauses import COMPOUND, Clause, realise
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.phrases import Phrase, Word, new_tag, pattern
from translator.data.phrasebook.vocabulary import Verb

Construction = Callable[[Draw], Phrase]
TENSES = ("present", "passé composé", "imparfait", "futur", "futur proche", "conditionnel")
#: Relative frequency of each tense in `TENSES`, roughly the same as in speech.
TENSE_WEIGHTS = (9, 6, 3, 2, 2, 1)
_COMMON_TENSES = tuple(t for t, n in zip(TENSES, TENSE_WEIGHTS, strict=True) for _ in range(n))
_SIMPLE_NEGATIONS = ("pas",) * 5 + ("plus", "jamais")


def say(d: Draw, clause: Clause, mark: str = ".") -> Phrase:
    """Return the words of a clause, followed by a final mark."""
    return pattern(f"{{0}} {mark}", f"{{0}} {mark}", realise(clause, d.lexicon.conjugations))


def verbs(d: Draw, wanted: Callable[[Verb], bool] | None = None) -> list[Verb]:
    """Return the verbs that need no clause with que and for which `wanted`, if it is given, is true."""
    return list(d.lexicon.clausal) if wanted is None else _filtered(d, d.lexicon.clausal, wanted)


def primary(d: Draw, wanted: Callable[[Verb], bool]) -> list[Verb]:
    """Return the verbs that can have an object pronoun (`Lexicon.primary`) and for which `wanted` is true."""
    return _filtered(d, d.lexicon.primary, wanted)


def _filtered(d: Draw, among: tuple[Verb, ...], wanted: Callable[[Verb], bool]) -> list[Verb]:
    """Filter verbs. What a function without a closure or defaults wants is the same each time, and kept."""
    assert isinstance(wanted, FunctionType)
    if wanted.__closure__ or wanted.__defaults__:
        return [verb for verb in among if wanted(verb)]
    key, found = (id(among), wanted.__code__), d.lexicon.verbs_found
    if key not in found:
        found[key] = [verb for verb in among if wanted(verb)]
    return found[key]


def clause(
    d: Draw,
    *,
    tense: str = "",
    negation: str = "",
    verb: Verb | None = None,
    subject: Phrase | None = None,
    omit: str = "",
    simple: bool = False,
) -> Clause:
    """Draw a clause.

    Args:
        d: source of random choices.
        tense: a tense that `Clause` allows; random if empty.
        negation: a key of `clauses.NEGATIONS`, or empty.
        verb: the verb; random if None.
        subject: the subject; random if None.
        omit: the object to omit (`direct` or `second`), or empty to omit none.
        simple: whether to leave out adverbs, places and times.
    """
    is_given = verb is not None
    verb = verb or d.pick(d.lexicon.clausal)
    tense = tense or d.pick(_COMMON_TENSES)
    if verb.lemma == "mourir" and (tense not in COMPOUND or negation or (subject and _speaks(subject))):
        verb = d.pick(verbs(d, _happens_to_all))
    limited = _NOW_OR_THEN + (_LASTING if tense in COMPOUND else ())
    if tense in _OTHER_TENSE and verb.lemma in limited and not verb.liking:
        if is_given:
            tense = _OTHER_TENSE[tense]
        else:
            verb = d.pick(verbs(d, lambda v: "inf" not in v.object and v.lemma not in _LIMITED))
    if negation in ("pas", "plus") and "inf" in verb.object and verb.en[0] in ("stop", "keep"):
        negation = ""  # n'arrête pas de means: keeps
    d.known = d.known or bool(negation)
    who = subject or beings.subject(d, verb)
    while verb.lemma == "mourir" and _speaks(who):
        who = beings.subject(d, verb)
    d.build(tense)
    d.combine(verb.key, tense)
    if negation:
        d.build(negation)
        d.combine(tense, negation)
        d.combine(verb.key, negation)
    if verb.reflexive:
        d.build("reflexive")
    if verb.etre and not verb.reflexive and tense in COMPOUND:
        d.build("passé composé with être")
    drawn = Clause(who, verb, tense, negation)
    hidden = (
        "pas" if who.fr[-1].text == "ne" else ""
    )  # de replaces the article after personne ne: personne ne veut de pain
    once = tense in COMPOUND
    drawn.objects = parts.objects(d, verb, who, negation=negation or hidden, omit=omit, once=once)
    if not simple:
        adjuncts(d, drawn)
    return drawn


#: Verbs that English does not put into the future or a perfect (he seems to know), or not into a perfect.
_NOW_OR_THEN = tuple("aimer adorer détester préférer sembler savoir compter espérer risquer".split())
_LASTING = ("devoir", "avoir", "posséder", "exister")
_LIMITED = (*_NOW_OR_THEN, *_LASTING, "mourir")
_OTHER_TENSE = {"futur": "present", "futur proche": "present"} | dict.fromkeys(COMPOUND, "imparfait")


def _speaks(who: Phrase) -> bool:
    """Return whether a subject includes who speaks or is spoken to."""
    return who.person in (0, 1, 3, 4) or who.fr[0].text == "on"


def _happens_to_all(verb: Verb) -> bool:
    return verb.intransitive and verb.happens and verb.subject >= beings.LIVING


def lasts(verb: Verb) -> bool:
    """Return whether a verb can be used with depuis because it describes something that lasts."""
    if verb.lemma in ("habiter", "vivre", "connaître", "attendre", "étudier", "apprendre", "chercher"):
        return "inf" not in verb.object
    return (
        verb.intransitive
        and bool({"bien", "beaucoup"} & set(verb.how))
        and not (verb.state or verb.happens or verb.etre)
        and bool(verb.subject & beings.HUMAN)
    )


def statement(d: Draw) -> Phrase:
    """Draw a sentence like: Il mange une pomme dans le jardin."""
    return say(d, clause(d))


def tense_statement(tense: str) -> Construction:
    """Return the construction that draws a sentence of one clause in the given tense."""

    def build(d: Draw) -> Phrase:
        return say(d, clause(d, tense=tense))

    return build


def negative(d: Draw) -> Phrase:
    """Draw a sentence with ne … pas, plus or jamais, like: Il ne mange pas de pain."""
    tense, negation = d.pick(_COMMON_TENSES), d.pick(_SIMPLE_NEGATIONS)
    if negation == "plus" and tense == "passé composé":
        negation = "pas"
    return say(d, clause(d, tense=tense, negation=negation))


def negative_que(d: Draw) -> Phrase:
    """Draw a sentence with ne … que, like: Il ne mange que du pain."""
    verb = d.pick(verbs(d, lambda v: v.direct and not v.reflexive and not v.liking))
    return say(d, clause(d, verb=verb, negation="que", tense=d.pick(TENSES[:5]), simple=True))


def is_of_things(verb: Verb) -> bool:
    """Return whether que, rien or ça can be the object, as it cannot be of quitter and parler."""
    return not (verb.liking or verb.object & beings.LIVING or verb.lemma in ("quitter", "parler"))


def negative_rien(d: Draw) -> Phrase:
    """Draw a sentence with rien as the object or the subject, like: Il ne mange rien."""
    if d.chance(0.1):
        return _nobody(d, "rien", "nothing")
    verb = d.pick(primary(d, lambda v: is_of_things(v) and not v.second))
    return say(d, clause(d, verb=verb, negation="rien", omit="direct", tense=d.pick(TENSES)))


def negative_personne(d: Draw) -> Phrase:
    """Draw a sentence with personne as the object or the subject, like: Il ne voit personne."""
    if d.chance(0.4):
        return _nobody(d, "personne", "nobody")
    verb = d.pick(primary(d, lambda v: bool(v.object & beings.HUMAN)))
    return say(d, clause(d, verb=verb, negation="personne", omit="direct", tense=d.pick(TENSES)))


def _nobody(d: Draw, french: str, english: str) -> Phrase:
    d.build(f"{french} as subject")
    wanted = verbs(d, lambda v: v.intransitive and (french == "personne") == bool(v.subject & beings.HUMAN))
    tag = new_tag()
    who = Phrase([Word(french, (tag,)), Word("ne", (tag,))], [Word(english, (tag,))], owner="their", head=tag)
    if not wanted:
        wanted = verbs(d, lambda v: v.intransitive)
    if french == "personne" and d.chance(0.6):
        wanted = verbs(d, lambda v: bool(v.subject & beings.HUMAN) and not v.reflexive)
    verb = d.pick(wanted)
    return say(d, clause(d, verb=verb, subject=who, tense=d.pick(TENSES[:4]), simple=d.chance(0.5)))


def something(d: Draw) -> Phrase:
    """Draw a sentence with quelqu'un, quelque chose or ça as the object, like: J'ai vu quelqu'un."""
    french, english = d.pick((("quelque chose", "something"), ("quelqu'un", "someone"), ("ça", "that")))
    d.build("quelque chose, quelqu'un, ça")
    human = french == "quelqu'un"
    verb = d.pick(primary(d, lambda v: "person" in v.object if human else is_of_things(v) and not v.second))
    drawn = clause(d, verb=verb, omit="direct", tense=d.pick(TENSES))
    drawn.objects.insert(0, places.word_for_word(french, english))
    return say(d, drawn)


def remark(d: Draw) -> Phrase:
    """Draw a sentence that starts with an adverb, like: Heureusement, il dort."""
    d.build("adverb of the sentence")
    lead = places.adverb(d, "sentence")
    tense = "passé composé" if lead.fr[-1].text in ("soudain", "enfin", "puis", "ensuite") else ""
    told = realise(clause(d, tense=tense, simple=True), d.lexicon.conjugations)
    if lead.fr[0].text == "peut-être":
        return pattern("peut-être_a que_a {0} .", "maybe_a {0} .", told)
    return pattern("{0} , {1} .", "{0} , {1} .", lead, told)


def not_yet(d: Draw) -> Phrase:
    """Draw a sentence with pas encore or déjà, like: Elle n'a pas encore mangé."""
    verb = d.pick(verbs(d, lambda v: not v.state))
    if d.chance(0.5):
        return say(d, clause(d, verb=verb, negation="pas encore", tense="passé composé", simple=True))
    drawn = clause(d, verb=verb, tense="passé composé", simple=True)
    drawn.frequency, drawn.perfect = places.word_for_word("déjà", "already"), True
    d.build("déjà")
    return say(d, drawn)


def maybe_not(d: Draw) -> str:
    """Return a random negation with probability 0.25, and otherwise the empty string."""
    return d.pick(_SIMPLE_NEGATIONS) if d.chance(0.25) else ""


def recent(d: Draw) -> Phrase:
    """Draw a sentence with venir de or être en train de, like: Il vient de manger."""
    verb = d.pick(verbs(d, lambda v: not (v.state or v.happens or v.object & {"inf", "goes", "stays"})))
    tense = d.pick(("passé récent", "en train"))
    return say(d, clause(d, verb=verb, tense=tense, simple=True))


def reflexive(d: Draw) -> Phrase:
    """Draw a sentence with a reflexive verb, like: Elle s'est levée tôt."""
    verb = d.pick(verbs(d, lambda v: v.reflexive))
    return say(d, clause(d, verb=verb, negation=maybe_not(d)))


def modal(d: Draw) -> Phrase:
    """Draw a sentence with a modal verb, like: Tu dois manger."""
    d.build("modal")
    verb = d.pick(
        verbs(d, lambda v: "inf" in v.object and v.lemma in ("pouvoir", "vouloir", "devoir", "savoir"))
    )
    tense = d.pick(("present", "present", "present", "imparfait", "futur", "conditionnel", "passé composé"))
    if verb.lemma == "savoir":
        tense = "present"
    return say(d, clause(d, verb=verb, tense=tense, negation=maybe_not(d) if d.chance(0.6) else ""))


def with_infinitive(d: Draw) -> Phrase:
    """Draw a sentence with a verb and an infinitive, like: Il commence à pleurer."""
    verb = d.pick(verbs(d, lambda v: "inf" in v.object))
    return say(d, clause(d, verb=verb, negation=maybe_not(d)))


def must(d: Draw) -> Phrase:
    """Draw a sentence with il faut, like: Il faut manger."""
    d.build("il faut")
    we = beings.pronoun(d, only=("on",))
    fr, en, negation = d.pick(
        (
            ("il_a faut_a", "we_a have_a to_a", ""),
            ("il_a faut_a", "we_a have_a to_a", ""),
            ("il_a ne_b faut_a pas_b", "we_a should_a not_b", "pas"),
            ("il_a fallait_a", "we_a had_a to_a", ""),
            ("il_a faudra_a", "we_a will_a have_a to_a", ""),
        )
    )
    d.combine("il faut", negation or "without negation")
    what = parts.infinitive(d, d.pick(d.lexicon.actions), we, negation=negation)
    return pattern(f"{fr} {{0}} .", f"{en} {{0}} .", what)
