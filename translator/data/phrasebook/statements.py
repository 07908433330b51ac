"""Constructions made of one clause: tenses, negations, pronouns, orders, the passive and questions."""

from collections.abc import Callable

from translator.data.phrasebook import parts, places
from translator.data.phrasebook.clauses import COMPOUND, REFLEXIVE, Clause, Pronoun, english_words, realise
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.french import agree
from translator.data.phrasebook.lexicon import VERBAL, Verb, leaves
from translator.data.phrasebook.numbers import number
from translator.data.phrasebook.phrases import Phrase, Word, new_tag, pattern, spread

Construction = Callable[[Draw], Phrase]
TENSES = ("present", "passé composé", "imparfait", "futur", "futur proche", "conditionnel")
_COMMON_TENSES = ("present",) * 5 + ("passé composé",) * 4 + TENSES[2:]
_SIMPLE_NEGATIONS = ("pas",) * 5 + ("plus", "jamais")


def say(d: Draw, clause: Clause, mark: str = ".") -> Phrase:
    """Put a clause into words with its final mark."""
    return pattern(f"{{0}} {mark}", f"{{0}} {mark}", realise(clause, d.lexicon.conjugations))


def verbs(d: Draw, wanted: Callable[[Verb], bool] | None = None) -> list[Verb]:
    """Return verbs that make a clause by themselves, or those of them that are wanted."""
    clausal = d.lexicon.clausal
    return list(clausal) if wanted is None else [verb for verb in clausal if wanted(verb)]


def leading(d: Draw, wanted: Callable[[Verb], bool]) -> list[Verb]:
    """Return those of the verbs that can stand with a pronoun for their object which are wanted."""
    return [verb for verb in d.lexicon.leading if wanted(verb)]


def clause(
    d: Draw,
    *,
    tense: str = "",
    negation: str = "",
    verb: Verb | None = None,
    subject: Phrase | None = None,
    but: str = "",
    simple: bool = False,
) -> Clause:
    """Draw a clause.

    Args:
        d: where chance comes from.
        tense: one of `TENSES`; drawn if empty.
        negation: a key of `clauses.NEGATIONS`.
        verb: drawn if not given.
        subject: drawn if not given.
        but: an object to leave out: `direct` or `second`.
        simple: whether to leave out adverbs, places and times.
    """
    verb = verb or d.pick(d.lexicon.clausal)
    tense = tense or d.pick(_COMMON_TENSES)
    if verb.lemma == "mourir":
        tense, negation = "passé composé", ""
    d.known = d.known or bool(negation)
    who = subject or parts.subject(d, verb)
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
    hidden = "pas" if who.fr[-1].text == "ne" else ""  # personne ne veut de pain
    drawn.objects = parts.objects(d, verb, who, negation=negation or hidden, but=but)
    if not simple:
        parts.adjuncts(d, drawn)
    return drawn


def lasts(verb: Verb) -> bool:
    """Whether one does it for hours or years: `depuis`."""
    if verb.lemma in ("habiter", "vivre", "connaître", "attendre", "étudier", "apprendre", "chercher"):
        return "inf" not in verb.object
    return (
        verb.intransitive
        and not (verb.state or verb.happens or verb.etre)
        and bool(verb.subject & parts.HUMAN)
    )


def statement(d: Draw) -> Phrase:
    """Il mange une pomme dans le jardin."""
    return say(d, clause(d))


def tense_statement(tense: str) -> Construction:
    """One clause in a tense."""

    def build(d: Draw) -> Phrase:
        return say(d, clause(d, tense=tense))

    return build


def negative(d: Draw) -> Phrase:
    """Il ne mange pas de pain."""
    tense, negation = d.pick(_COMMON_TENSES), d.pick(_SIMPLE_NEGATIONS)
    if negation == "plus" and tense == "passé composé":
        negation = "pas"
    return say(d, clause(d, tense=tense, negation=negation))


def negative_que(d: Draw) -> Phrase:
    """Il ne mange que du pain."""
    verb = d.pick(verbs(d, lambda v: v.direct and not v.reflexive and not v.liking))
    return say(d, clause(d, verb=verb, negation="que", tense=d.pick(TENSES[:5]), simple=True))


def negative_rien(d: Draw) -> Phrase:
    """Il ne mange rien."""
    if d.chance(0.2):
        return _nobody(d, "rien", "nothing")
    verb = d.pick(leading(d, lambda v: not (v.liking or v.second or v.object & parts.LIVING)))
    return say(d, clause(d, verb=verb, negation="rien", but="direct", tense=d.pick(TENSES)))


def negative_personne(d: Draw) -> Phrase:
    """Il ne voit personne."""
    if d.chance(0.4):
        return _nobody(d, "personne", "nobody")
    verb = d.pick(leading(d, lambda v: bool(v.object & parts.HUMAN)))
    return say(d, clause(d, verb=verb, negation="personne", but="direct", tense=d.pick(TENSES)))


def _nobody(d: Draw, french: str, english: str) -> Phrase:
    d.build(f"{french} as subject")
    wanted = verbs(d, lambda v: v.intransitive and (french == "personne") == bool(v.subject & parts.HUMAN))
    tag = new_tag()
    who = Phrase([Word(french, (tag,)), Word("ne", (tag,))], [Word(english, (tag,))], head=tag)
    if not wanted:
        wanted = verbs(d, lambda v: v.intransitive)
    if french == "personne" and d.chance(0.6):
        wanted = verbs(d, lambda v: bool(v.subject & parts.HUMAN) and not v.reflexive)
    verb = d.pick(wanted)
    return say(d, clause(d, verb=verb, subject=who, tense=d.pick(TENSES[:4]), simple=d.chance(0.5)))


def something(d: Draw) -> Phrase:
    """J'ai vu quelqu'un; il cherche quelque chose; j'aime ça."""
    french, english = d.pick((("quelque chose", "something"), ("quelqu'un", "someone"), ("ça", "that")))
    d.build("quelque chose, quelqu'un, ça")
    human = french == "quelqu'un"
    verb = d.pick(leading(d, lambda v: not v.second and ("person" in v.object) == human))
    drawn = clause(d, verb=verb, but="direct", tense=d.pick(TENSES))
    drawn.objects.insert(0, places.word_for_word(french, english))
    return say(d, drawn)


def remark(d: Draw) -> Phrase:
    """Heureusement, il dort."""
    d.build("adverb of the sentence")
    lead = places.adverb(d, "sentence")
    told = realise(clause(d, simple=d.chance(0.5)), d.lexicon.conjugations)
    if lead.fr[0].text == "peut-être":
        return pattern("peut-être_a que_a {0} .", "maybe_a {0} .", told)
    return pattern("{0} , {1} .", "{0} , {1} .", lead, told)


def not_yet(d: Draw) -> Phrase:
    """Elle n'a pas encore mangé; elle a déjà mangé."""
    verb = d.pick(verbs(d, lambda v: not v.state))
    if d.chance(0.5):
        return say(d, clause(d, verb=verb, negation="pas encore", tense="passé composé", simple=True))
    drawn = clause(d, verb=verb, tense="passé composé", simple=True)
    drawn.frequency, drawn.perfect = places.word_for_word("déjà", "already"), True
    d.build("déjà")
    return say(d, drawn)


def with_direct_pronoun(d: Draw) -> Phrase:
    """Je le mange; je les ai mangées."""
    verb = d.pick(d.lexicon.leading)
    drawn = clause(d, verb=verb, but="direct", negation=_maybe_not(d), tense=d.pick(TENSES))
    drawn.pronouns = [parts.direct_pronoun(d, verb, drawn.subject)]
    d.combine(verb.key, "direct pronoun")
    return say(d, drawn)


def _maybe_not(d: Draw) -> str:
    return d.pick(_SIMPLE_NEGATIONS) if d.chance(0.25) else ""


def with_indirect_pronoun(d: Draw) -> Phrase:
    """Je lui parle; il me donne un livre."""
    human = verbs(d, lambda v: v.preposition == "à" and bool(v.object & parts.HUMAN) and not v.reflexive)
    giving = verbs(d, _gives)
    verb = d.pick(human if d.chance(0.25) else giving)
    negation = _maybe_not(d)
    if verb.second:
        drawn = clause(d, verb=verb, but="second", negation=negation, tense=d.pick(TENSES))
        dative = verb.en[0] in _DATIVE and not verb.particle
        to = "" if dative else verb.second[2]
        pronoun = parts.indirect_pronoun(d, drawn.subject, to)
        if not dative:
            return _late(d, drawn, pronoun)
    else:
        drawn = clause(d, verb=verb, but="direct", negation=negation, tense=d.pick(TENSES))
        pronoun = parts.indirect_pronoun(d, drawn.subject, "")
    drawn.pronouns = [pronoun]
    d.combine(verb.key, "indirect pronoun")
    return say(d, drawn)


#: English verbs that say `gives him a book`; the others say `explains the problem to him`.
_DATIVE = frozenset(("give show lend send tell bring offer sell teach read write serve throw").split())


def _gives(verb: Verb) -> bool:
    return verb.second is not None and verb.second[0] == "à" and bool(verb.second[1] & parts.HUMAN)


def _late(d: Draw, drawn: Clause, pronoun: Pronoun) -> Phrase:
    """English says the pronoun after the object, and it is linked all the same: explains it to me."""
    tag = new_tag()
    drawn.objects.append(Phrase([], [Word(word, (tag,)) for word in pronoun.en]))
    drawn.pronouns, drawn.linked[pronoun.fr] = [Pronoun(pronoun.fr, (), pronoun.slot)], tag
    return say(d, drawn)


def with_two_pronouns(d: Draw) -> Phrase:
    """Il me le donne; je lui en parle."""
    d.build("two pronouns")
    verb = d.pick(leading(d, _gives))
    drawn = clause(d, verb=verb, but="second", negation=_maybe_not(d), tense=d.pick(TENSES))
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
    """J'en mange; j'en ai deux."""
    d.build("en")
    verb = d.pick(
        leading(
            d,
            lambda v: not (v.liking or v.second or v.object & parts.HUMAN) and bool(v.object & _COUNTED),
        )
    )
    negation = _maybe_not(d)
    drawn = clause(d, verb=verb, but="direct", negation=negation, tense=d.pick(TENSES), simple=True)
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
    """J'y vais; nous y pensons."""
    d.build("y")
    going = verbs(d, lambda v: bool(v.object & {"goes", "stays"}))
    about = verbs(d, lambda v: v.preposition == "à" and not v.object & (parts.HUMAN | set(VERBAL)))
    verb = d.pick(going if d.chance(0.7) else about)
    drawn = clause(d, verb=verb, but="direct", negation=_maybe_not(d), tense=d.pick(TENSES))
    drawn.pronouns = [Pronoun("y", ("there" if verb.object & {"goes", "stays"} else "it",), 4)]
    d.combine(verb.key, "y")
    return say(d, drawn)


def recent(d: Draw) -> Phrase:
    """Il vient de manger; il est en train de manger."""
    verb = d.pick(verbs(d, lambda v: not (v.state or v.happens) and "inf" not in v.object))
    tense = d.pick(("passé récent", "en train"))
    return say(d, clause(d, verb=verb, tense=tense, simple=True))


def reflexive(d: Draw) -> Phrase:
    """Elle s'est levée tôt."""
    verb = d.pick(verbs(d, lambda v: v.reflexive))
    return say(d, clause(d, verb=verb, negation=_maybe_not(d)))


def modal(d: Draw) -> Phrase:
    """Tu dois manger; je voudrais partir."""
    d.build("modal")
    verb = d.pick(
        verbs(d, lambda v: "inf" in v.object and v.lemma in ("pouvoir", "vouloir", "devoir", "savoir"))
    )
    tense = d.pick(("present", "present", "present", "imparfait", "futur", "conditionnel", "passé composé"))
    if verb.lemma == "savoir":
        tense = "present"
    return say(d, clause(d, verb=verb, tense=tense, negation=_maybe_not(d) if d.chance(0.6) else ""))


def with_infinitive(d: Draw) -> Phrase:
    """Il commence à pleurer; elle aime danser."""
    verb = d.pick(verbs(d, lambda v: "inf" in v.object))
    return say(d, clause(d, verb=verb, negation=_maybe_not(d)))


def must(d: Draw) -> Phrase:
    """Il faut manger; il ne faut pas courir."""
    d.build("il faut")
    we = parts.pronoun(d, only=("on",))
    fr, en, negation = d.pick(
        (
            ("il_a faut_a", "we_a must_a", ""),
            ("il_a faut_a", "we_a must_a", ""),
            ("il_a ne_b faut_a pas_b", "we_a must_a not_b", "pas"),
            ("il_a fallait_a", "we_a had_a to_a", ""),
            ("il_a faudra_a", "we_a will_a have_a to_a", ""),
        )
    )
    d.combine("il faut", negation or "without negation")
    what = parts.infinitive(d, d.pick(parts.doings(d)), we, negation=negation)
    return pattern(f"{fr} {{0}} .", f"{en} {{0}} .", what)


def passive(d: Draw) -> Phrase:
    """La maison a été vendue par le voisin."""
    d.build("passive")
    verb = d.pick(
        verbs(
            d,
            lambda v: (
                v.direct
                and not v.state
                and not v.reflexive
                and not v.object & {"time"}
                and not v.rest
                and not v.second
                and not v.particle
            ),
        )
    )
    d.combine(verb.key, "passive")
    negation = _maybe_not(d) if d.chance(0.4) else ""
    d.known = bool(negation)
    patient = parts.being(d, d.pick(d.lexicon.of(*sorted(verb.object))))
    tense = d.pick(("present", "passé composé", "passé composé", "futur", "futur proche"))
    d.build(tense)
    be = d.lexicon.plain("être", "be", "is", "was", "been", "being")
    tag = new_tag()
    form = agree(verb.forms.participle, is_feminine=patient.feminine, is_plural=patient.plural)
    english = [Word(w, (tag,)) for w in (verb.en[3], *verb.rest, *verb.particle.split())]
    drawn = Clause(patient, be, tense, negation)
    drawn.objects = [Phrase([Word(form, (tag,))], english)]
    if d.chance(0.6):
        agents = sorted(verb.subject)
        agent = (
            places.first_name(d)
            if d.chance(0.3) and verb.subject & parts.HUMAN
            else parts.being(d, d.pick(d.lexicon.of(*agents)))
        )
        drawn.objects.append(pattern("par_a {0}", "by_a {0}", agent))
    elif d.chance(0.5):
        parts.adjuncts(d, drawn)
    return say(d, drawn)


#: Of whom one orders: place in je, tu, il … → pronoun and place among the imperatives.
_ORDERED = {1: ("tu", 0), 3: ("nous", 1), 4: ("vous", 2)}


def order(d: Draw) -> Phrase:
    """Mange ta soupe ! Ne le touchez pas ! Allons au parc !"""
    d.build("imperative")
    verb = d.pick(verbs(d, lambda v: bool(v.subject & parts.HUMAN) and not (v.state or v.happens)))
    person = d.pick((1, 1, 4, 4, 3))
    who = parts.pronoun(d, only=(_ORDERED[person][0],))
    d.combine(verb.key, "imperative")
    d.build(_ORDERED[person][0])
    negation = d.pick(("pas", "pas", "jamais", "plus")) if d.chance(0.3) and person != 3 else ""
    d.build(*([negation] if negation else []))
    chosen, but = None, ""
    if d.lexicon.leads(verb) and d.chance(0.35):
        but = "direct"
        chosen = parts.direct_pronoun(d, verb, parts.pronoun(d, only=("tu" if person != 3 else "nous",)))
        if chosen.fr in ("te", "vous", "nous"):
            chosen = Pronoun("les", ("them",), 2)
    elif verb.object & {"goes"} and d.chance(0.3) and person != 1:
        chosen, but = Pronoun("y", ("there",), 4), "direct"
    elif _gives(verb) and d.chance(0.5) and verb.en[0] in _DATIVE and not verb.particle:
        french, english = d.pick((("me", "me"), ("lui", "him"), ("leur", "them")))
        chosen, but = Pronoun(french, (english,), 3), "second"
    rest = parts.objects(d, verb, who, negation=negation, but=but)
    return _ordered(verb, person, negation, chosen, rest)


def _ordered(verb: Verb, person: int, negation: str, chosen: Pronoun | None, rest: list[Phrase]) -> Phrase:
    v, n, own = new_tag(), new_tag(), new_tag()
    form = Word(verb.forms.imperative[_ORDERED[person][1]], (v,))
    hung = [Word(REFLEXIVE[person], (v,))] if verb.reflexive else []
    spoken: list[Word] = []
    if chosen:
        hung.append(Word(chosen.fr, (own,)))
        spoken = [Word(word, (own,)) for word in chosen.en]
    if negation:
        fr = [Word("ne", (n,)), *hung, form, Word(negation, (n,))]
    else:
        strong = {"me": "moi", "te": "toi"}
        fr = [form, *(Word("-" + strong.get(w.text, w.text), w.tags) for w in hung)]
    en = {
        "": spread("let 's", v) if person == 3 else [],
        "pas": spread("do not", n),
        "plus": spread("do not", n),
        "jamais": spread("never", n),
    }[negation]
    en = en + english_words(verb, verb.en[0], v, spoken)
    phrase = Phrase(fr, en)
    for part in rest:
        phrase = phrase + part
    if negation == "plus":
        phrase.en.append(Word("anymore", (n,)))
    return pattern("{0} !", "{0} !", phrase)
