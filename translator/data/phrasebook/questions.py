"""Questions with est-ce que, inversion or intonation, with and without a question word."""

from dataclasses import replace

from translator.data.phrasebook import beings, parts, places
from translator.data.phrasebook.clauses import SUBJECT_CLITICS, Clause
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.nouns import noun_phrase
from translator.data.phrasebook.phrases import Phrase, Word, new_tag, pattern
from translator.data.phrasebook.statements import TENSES, clause, is_of_things, lasts, primary, say, verbs

FORMS = ("est-ce que", "inversion", "intonation")
_TENSES = ("present",) * 4 + ("passé composé",) * 3 + TENSES[2:]


def _ask(d: Draw, drawn: Clause, form: str = "") -> Phrase:
    """Turn a clause into a question.

    `form` is one of `FORMS`; if it is empty, the form is random. If the subject is je, it is est-ce que.
    """
    form = form or d.pick(FORMS)
    if drawn.subject.person == 0:
        form = "est-ce que"
    if drawn.verb.lemma == "rendre" and drawn.subject.person == 4:
        form = "est-ce que"  # "rendez-vous" would mean an appointment
    if drawn.asked and drawn.verb.en[0] == "tell":  # what did you tell him, not: tell to him
        drawn.objects = [replace(o, en=o.en[o.en[0].text == "to" :]) if o.en else o for o in drawn.objects]
    drawn.question = form
    d.build(form)
    d.combine(drawn.verb.key, form)
    d.combine(drawn.tense, form)
    return say(d, drawn, "?")


def yes_or_no(d: Draw) -> Phrase:
    """Draw a yes-or-no question, like: Est-ce que tu manges ?"""
    d.known = True
    negation = d.pick(("pas", "pas", "plus", "jamais")) if d.chance(0.15) else ""
    return _ask(d, clause(d, tense=d.pick(_TENSES), negation=negation))


def with_pronoun(d: Draw) -> Phrase:
    """Draw a yes-or-no question with a direct object pronoun, like: Est-ce que tu le connais ?"""
    d.known = True
    verb = d.pick(d.lexicon.primary)
    drawn = clause(d, verb=verb, omit="direct", tense=d.pick(_TENSES))
    drawn.pronouns = [parts.direct_pronoun(d, verb, drawn.subject)]
    return _ask(d, drawn)


def _two_forms(d: Draw) -> str:
    return d.pick(("est-ce que", "inversion"))


def _form_before(d: Draw, drawn: Clause) -> str:
    """Draw the form of a question with que or qui as the object: que fait-il, but not: que Paul fait-il."""
    return _two_forms(d) if drawn.subject.fr[0].text in SUBJECT_CLITICS else "est-ce que"


def where(d: Draw) -> Phrase:
    """Draw a question with où, like: Où habites-tu ?"""
    d.known = True
    d.build("où")
    verb = d.pick(verbs(d, lambda v: bool(v.object & {"goes", "stays"} or v.where) and "inf" not in v.object))
    drawn = clause(
        d,
        verb=verb,
        omit="direct" if verb.object & {"goes", "stays"} else "",
        tense=d.pick(_TENSES),
        simple=True,
    )
    drawn.asked = pattern("où_a", "where_a")
    return _ask(d, drawn, _two_forms(d))


def when_why_how(d: Draw) -> Phrase:
    """Draw a question with quand, pourquoi or comment, like: Pourquoi pleure-t-elle ?"""
    d.known = True
    french, english = d.pick(
        (("quand", "when"), ("pourquoi", "why"), ("pourquoi", "why"), ("comment", "how"))
    )
    d.build(french)
    rare = () if french == "pourquoi" else ("imparfait", "conditionnel")
    tense = d.pick([tense for tense in _TENSES if tense not in rare])
    is_how = french == "comment"
    verb = d.pick(
        verbs(d, lambda v: french == "pourquoi" or not (v.state or (is_how and (v.happens or not v.how))))
    )
    negation = "pas" if french == "pourquoi" and d.chance(0.25) else ""
    drawn = clause(d, verb=verb, tense=tense, negation=negation, simple=True)
    drawn.asked = places.word_for_word(french, english)
    if tense == "present" and french == "quand":
        drawn.tense = "futur"
    return _ask(d, drawn, _two_forms(d))


def what(d: Draw) -> Phrase:
    """Draw a question with que as the object, like: Que manges-tu ?"""
    d.known = True
    d.build("que")
    verb = d.pick(primary(d, is_of_things))
    drawn = clause(d, verb=verb, omit="direct", tense=d.pick(_TENSES))
    drawn.asked = pattern("que_a", "what_a")
    return _ask(d, drawn, _form_before(d, drawn))


def whom(d: Draw) -> Phrase:
    """Draw a question with qui as the object, à qui or avec qui, like: À qui parles-tu ?"""
    d.known = True
    d.build("à qui, avec qui")
    kind = d.pick(("qui", "à", "avec"))
    if kind == "qui":
        verb = d.pick(primary(d, lambda v: bool(v.object & beings.HUMAN)))
        drawn = clause(d, verb=verb, omit="direct", tense=d.pick(_TENSES))
        drawn.asked = pattern("qui_a", "who_a")
        return _ask(d, drawn, _form_before(d, drawn))
    tag, own = new_tag(), new_tag()
    if kind == "à":
        verb = d.pick(verbs(d, lambda v: v.preposition == "à" and bool(v.object & beings.HUMAN)))
        drawn = clause(d, verb=verb, omit="direct", tense=d.pick(_TENSES), simple=True)
        drawn.asked = Phrase([Word("à", ()), Word("qui", (own,))], [Word("who", (own,))])
    else:
        verb = d.pick(verbs(d, lambda v: v.intransitive and "ensemble" in v.how and not v.reflexive))
        drawn = clause(d, verb=verb, tense=d.pick(_TENSES), simple=True)
        drawn.asked = Phrase([Word("avec", (tag,)), Word("qui", (own,))], [Word("who", (own,))])
        drawn.tail = [Phrase([], [Word("with", (tag,))])]
    return _ask(d, drawn, _two_forms(d))


def who(d: Draw) -> Phrase:
    """Draw a question with qui as the subject, like: Qui mange la pomme ?"""
    d.build("qui as subject")
    verb = d.pick(verbs(d, lambda v: bool(v.subject & beings.HUMAN)))
    tag = new_tag()
    asking = Phrase([Word("qui", (tag,))], [Word("who", (tag,))], owner="their", head=tag)
    drawn = clause(d, verb=verb, subject=asking, tense=d.pick(_TENSES))
    drawn.question = "subject"
    return say(d, drawn, "?")


def how_many(d: Draw) -> Phrase:
    """Draw a question with combien de or quel, like: Quel livre lis-tu ?"""
    d.known = True
    verb = d.pick(
        verbs(
            d,
            lambda v: v.direct and not (v.reflexive or v.liking or v.object & {"person", "language", "time"}),
        )
    )
    noun = d.pick(d.lexicon.of(*sorted(verb.object)))
    d.combine(verb.key, noun.lemma)
    drawn = clause(d, verb=verb, omit="direct", tense=d.pick(_TENSES), simple=True)
    if d.chance(0.5) and noun.fr[1] and noun.en[1]:
        d.build("combien de")
        counted = noun_phrase(noun, "bare", plural=True)
        drawn.asked = pattern("combien_a de_b {0}", "how_a many_ab {0}", counted)
    else:
        d.build("quel")
        counted = noun_phrase(noun, "which", plural=noun.counted and d.chance(0.3))
        drawn.asked = counted
    if drawn.tense == "passé composé":
        drawn.agrees = (counted.feminine, counted.plural or drawn.asked is not counted)
    return _ask(d, drawn, "est-ce que" if len(drawn.subject.fr) > 1 else _two_forms(d))


def since_when(d: Draw) -> Phrase:
    """Draw a question with depuis quand or depuis combien de temps, like: Depuis quand habitez-vous ici ?"""
    d.known = True
    d.build("depuis quand")
    verb = d.pick(verbs(d, lasts))
    drawn = clause(d, verb=verb, tense="present", simple=True)
    drawn.since = True
    drawn.asked = d.pick(
        (
            pattern("depuis_a quand_b", "since_a when_b"),
            pattern("depuis_a combien_a de_a temps_a", "how_a long_a"),
        )
    )
    return _ask(d, drawn, _two_forms(d))
