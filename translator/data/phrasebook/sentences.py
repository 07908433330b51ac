"""Sentences with several clauses (such as conditions), with être or avoir, or with a duration."""

from translator.data.phrasebook import beings, parts, places
from translator.data.phrasebook.clauses import Clause, realise
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.nouns import noun_phrase
from translator.data.phrasebook.phrases import Phrase, Word, new_tag, pattern, spread
from translator.data.phrasebook.statements import clause, lasts, say, verbs
from translator.data.phrasebook.vocabulary import VERBAL, Adjective, Verb

TOLD = ("present",) * 3 + ("passé composé",) * 3 + ("imparfait", "futur", "plus-que-parfait")


def put(d: Draw, drawn: Clause) -> Phrase:
    """Return the words of a clause that is part of a sentence, without a final mark."""
    return realise(drawn, d.lexicon.conjugations)


def it_is(what: Phrase, french: str = "est", english: str = "is") -> Phrase:
    """Build a sentence that starts with c'est or ce sont.

    The English sentence starts with he is or she is for a person, it is for a thing, they are for a plural.
    `french` and `english` are the verb in both languages: either est and is, or était and was.
    """
    who = ("she" if what.feminine else "he") if what.human else "it"
    if what.en_person == 5:
        who, english = "they", {"is": "are", "was": "were"}[english]
    if what.plural:
        french = {"est": "sont", "était": "étaient"}[french]
    return pattern(f"ce_a {french}_b {{0}} .", f"{who}_a {english}_b {{0}} .", what)


def be(d: Draw, subject: Phrase, what: Phrase, *, tense: str = "present", negation: str = "") -> Clause:
    """Build a clause with être and the complement `what`."""
    verb = d.lexicon.verb_translated("être", "be", "is", "was", "been", "being")
    d.build(tense, *([negation] if negation else []))
    return Clause(subject, verb, tense, negation, objects=[what])


def be_adjective(
    d: Draw, subject: Phrase, adjective: Adjective, *, tense: str = "present", negation: str = ""
) -> Clause:
    """Build a clause with être and an adjective, sometimes with an adverb: Elle est très contente."""
    tag = new_tag()
    form = adjective.forms[subject.feminine + 2 * subject.plural]
    what = Phrase(spread(form, tag), spread(adjective.en, tag))
    if d.chance(0.25) and adjective.graded:
        degree = places.adverb(d, "degree")
        d.build("adverb of degree")
        what = degree + what
    return be(d, subject, what, tense=tense, negation=negation)


def second(
    d: Draw, one: Clause, *, tense: str, negation: str = "", simple: bool = True, chance: float = 0.7
) -> Clause:
    """Draw a clause that accompanies the clause `one`.

    If the subject of `one` is a person or a pronoun, then, with probability `chance`, the subject of the
    drawn clause is a pronoun that refers to the subject of `one`.
    """
    who = beings.again(one.subject) if d.chance(chance) else None
    verb = _doing(d) if who else None
    return clause(d, tense=tense, verb=verb, subject=who, negation=negation, simple=simple)


def condition(d: Draw) -> Phrase:
    """Draw a sentence with si, like: Si j'avais le temps, je lirais."""
    d.calm = True
    if d.chance(0.5):
        d.build("si with futur")
        first, then = "present", d.pick(("futur", "futur", "present"))
    else:
        d.build("si with conditionnel")
        first, then = "imparfait", "conditionnel"
    one = clause(d, tense=first, simple=d.chance(0.6), negation="pas" if d.chance(0.15) else "")
    one.habit = True
    other = second(d, one, tense=then, simple=d.chance(0.6), negation="pas" if d.chance(0.15) else "")
    other.habit = other.habit or then == "present"
    main = put(d, other)
    if then in ("futur", "conditionnel") and d.chance(0.3):
        return pattern("{0} si_a {1} .", "{0} if_a {1} .", main, put(d, one))
    return pattern("si_a {0} , {1} .", "if_a {0} , {1} .", put(d, one), main)


def because(d: Draw) -> Phrase:
    """Draw a sentence with parce que, like: Je reste ici parce que je suis fatigué."""
    d.calm = True
    d.build("parce que")
    tense = d.pick(("present", "passé composé", "futur"))
    one = clause(d, tense=tense, simple=d.chance(0.6), negation="pas" if d.chance(0.25) else "")
    if d.chance(0.5):
        who = beings.again(one.subject) or beings.pronoun(d)
        other = _feels(d, who, "imparfait" if tense == "passé composé" else "present")
    else:
        told = {"passé composé": d.pick(("imparfait", "plus-que-parfait")), "futur": "present"}.get(
            tense, tense
        )
        other = put(d, second(d, one, tense=told, negation="pas" if d.chance(0.3) else ""))
    return pattern("{0} parce_a que_a {1} .", "{0} because_a {1} .", put(d, one), other)


def _feels(d: Draw, who: Phrase, tense: str) -> Phrase:
    if d.chance(0.5):
        return put(d, avoir(d, who, tense=tense))
    adjectives = [a for a in d.lexicon.adjectives if "person" in a.applies and not a.before]
    return put(d, be_adjective(d, who, d.pick(adjectives), tense=tense))


#: Pairs of a French noun that follows avoir (avoir faim) and the English adjective that follows be (be
#: hungry).
STATES = (
    ("faim", "hungry"),
    ("soif", "thirsty"),
    ("froid", "cold"),
    ("chaud", "hot"),
    ("peur", "afraid"),
    ("sommeil", "sleepy"),
    ("raison", "right"),
    ("tort", "wrong"),
)


def avoir(d: Draw, who: Phrase, *, tense: str = "present", negation: str = "") -> Clause:
    """Build a clause with avoir and one of `STATES`, like: J'ai faim."""
    d.build("avoir faim", tense, *([negation] if negation else []))
    french, english = d.pick(STATES)
    verb = d.lexicon.verb_translated("avoir", "be", "is", "was", "been", "being")
    what = places.word_for_word(french, english)
    if d.chance(0.25) and french not in ("raison", "tort"):
        what = pattern("très_a {0}", "very_a {0}", what)
    d.combine(french, tense)
    return Clause(who, verb, tense, negation, objects=[what])


def when(d: Draw) -> Phrase:
    """Draw a sentence with quand or pendant que, like: Quand je suis arrivé, elle dormait."""
    d.calm = True
    kind = d.pick(("past", "past", "future", "habit", "while"))
    if kind == "while":
        d.build("pendant que")
        told = d.pick(("present", "imparfait"))
        one, other = (clause(d, tense=told, verb=_doing(d), simple=True) for _ in range(2))
        return pattern("{0} pendant_a que_a {1} .", "{0} while_a {1} .", put(d, one), put(d, other))
    d.build("quand")
    if kind == "past":
        one = clause(d, tense="passé composé", verb=_doing(d), simple=True)
        other = second(d, one, tense="imparfait", simple=d.chance(0.6))
        if other.tail:
            other.habit = False
    elif kind == "future":
        one = clause(d, tense="futur", simple=True)
        one.as_present = True
        other = second(d, one, tense="futur", simple=d.chance(0.6))
    else:
        one = clause(d, tense="present", simple=True)
        other = second(d, one, tense="present")
        one.habit = other.habit = True
    before, after = put(d, one), put(d, other)
    if d.chance(0.4):
        return pattern("{0} quand_a {1} .", "{0} when_a {1} .", after, before)
    return pattern("quand_a {0} , {1} .", "when_a {0} , {1} .", before, after)


def _doing(d: Draw) -> Verb:
    return d.pick(d.lexicon.events)


def purpose(d: Draw) -> Phrase:
    """Draw a sentence with pour, avant de or sans and an infinitive, like: Il mange avant de partir."""
    d.calm = True
    french, english, ing = d.pick(
        (
            ("pour", "to", False),
            ("pour", "to", False),
            ("sans", "without", True),
            ("avant de", "before", True),
        )
    )
    d.build(f"{french} and infinitive")
    one = clause(d, verb=_doing(d), simple=True, negation="pas" if d.chance(0.12) else "")
    what = parts.infinitive(d, d.pick(parts.actions(d)), one.subject, ing=ing)
    tag = new_tag()
    lead = Phrase([Word(w, (tag,)) for w in french.split()], [Word(english, (tag,))])
    return pattern("{0} {1} {2} .", "{0} {1} {2} .", put(d, one), lead, what)


def joined(d: Draw) -> Phrase:
    """Draw two clauses joined by et, mais or donc, like: Paul lit et Marie dort."""
    d.calm = True
    french, english = d.pick((("et", "and"), ("et", "and"), ("mais", "but"), ("mais", "but"), ("donc", "so")))
    d.build(f"joined by {french}")
    tense = d.pick(TOLD)
    one = clause(d, tense=tense, simple=True, negation="pas" if d.chance(0.15) else "")
    if d.chance(0.4) and tense != "futur":
        who = beings.again(one.subject) or beings.pronoun(d)
        other = _feels(d, who, "imparfait" if tense == "passé composé" else tense)
    else:
        negation = "pas" if d.chance(0.3) else ""
        other = put(d, second(d, one, tense=tense, negation=negation, simple=d.chance(0.6)))
    comma = "" if french == "et" else ", "
    line = f"{{0}} {comma}{french}_a {{1}} ."
    return pattern(line, line.replace(french, english), put(d, one), other)


def thinks(d: Draw) -> Phrase:
    """Draw a sentence with a subordinate clause with que, like: Je pense que Paul est malade."""
    d.calm = True
    d.build("que clause")
    verb = d.pick([v for v in d.lexicon.verbs if "that" in v.object])
    tense = d.pick(("present", "present", "imparfait" if verb.state else "passé composé"))
    one = clause_that(d, verb, tense)
    told = (
        d.pick(("imparfait", "plus-que-parfait"))
        if tense != "present"
        else d.pick(("present", "futur", "passé composé"))
    )
    if d.chance(0.35):
        other = _feels(d, beings.pronoun(d), "present" if tense == "present" else "imparfait")
    else:
        other = put(d, clause(d, tense=told, simple=d.chance(0.6)))
    return pattern("{0} que_a {1} .", "{0} that_a {1} .", put(d, one), other)


def clause_that(d: Draw, verb: Verb, tense: str) -> Clause:
    """Build the main clause that precedes que, such as je pense."""
    who = beings.subject(d, verb, pronouns=0.7)
    d.build(tense)
    d.combine(verb.key, tense)
    return Clause(who, verb, tense, habit=True)


_SPANS = ("minute", "heure", "jour", "semaine", "mois", "an")


def since(d: Draw) -> Phrase:
    """Draw a sentence with depuis, pendant or il y a, like: J'habite ici depuis deux ans."""
    kind = d.pick(("depuis", "pendant", "il y a"))
    d.build(kind)
    count = d.below(1, 13)
    unit = d.pick([n for n in d.lexicon.of("time") if n.lemma in _SPANS])
    span = noun_phrase(unit, "number" if count > 1 else "indefinite", count=count)
    if kind == "depuis":
        verb = d.pick(verbs(d, lasts))
        drawn = clause(d, verb=verb, tense="present", simple=True)
        drawn.since = True
        drawn.tail.append(pattern("depuis_a {0}", "for_a {0}", span))
    elif kind == "pendant":
        verb = d.pick(verbs(d, lambda v: not (v.state or v.happens or v.etre) and not v.object & set(VERBAL)))
        drawn = clause(d, verb=verb, tense=d.pick(("passé composé", "futur")), simple=True)
        drawn.tail.append(pattern("pendant_a {0}", "for_a {0}", span))
    else:
        verb = d.pick(verbs(d, lambda v: not v.state and "inf" not in v.object))
        drawn = clause(d, verb=verb, tense="passé composé", simple=True)
        drawn.tail.append(pattern("il_a y_a a_a {0}", "{0} ago_a", span))
    return say(d, drawn)
