"""A clause in both languages: a statement or question with one verb, its subject, objects and adverbials.

This module decides the word order in both languages. The module `parts` draws the objects and adverbials. The
function `aspect` chooses the English tense (see docs/phrasebook.md).
"""

from dataclasses import dataclass, field

from translator.data.phrasebook import french
from translator.data.phrasebook.english import NEGATED
from translator.data.phrasebook.english_verbs import BASE, english_verb
from translator.data.phrasebook.french import Conjugation
from translator.data.phrasebook.phrases import Phrase, Word, new_tag
from translator.data.phrasebook.vocabulary import Verb

REFLEXIVE = ("me", "te", "se", "nous", "vous", "se")
#: For each French negation (without ne), the English words that it needs in addition to not, never or only.
NEGATIONS = {
    "pas": (),
    "plus": ("anymore",),
    "jamais": (),
    "rien": ("anything",),
    "personne": ("anyone",),
    "que": (),
    "pas encore": ("yet",),
}
#: Tenses that are formed with avoir or être and a past participle.
COMPOUND = ("passé composé", "plus-que-parfait")


@dataclass(frozen=True, slots=True)
class Pronoun:
    """An object pronoun (or y or en), which precedes the verb in French.

    Attributes:
        fr: me, le, lui, y, en …
        en: the English words of the pronoun, which follow the verb.
        slot: rank of the pronoun. If several pronouns precede a verb, the one with the lowest rank comes
            first: me 1, le 2, lui 3, y 4, en 5.
        direct: the pair (whether the pronoun is feminine, whether it is plural) if the pronoun is a direct
            object with which a past participle agrees; otherwise None.
    """

    fr: str
    en: tuple[str, ...]
    slot: int
    direct: tuple[bool, bool] | None = None


@dataclass(slots=True)
class Clause:
    """The parts of a clause, from which `realise` builds its words.

    Attributes:
        tense: one of present, passé composé, plus-que-parfait, imparfait, futur, futur proche, conditionnel,
            passé récent and en train.
        negation: a key of `NEGATIONS`, or empty.
        question: form of the question: `est-ce que`, `inversion`, `intonation`, or `subject` if the question
            word is the subject. It is empty if the clause is not a question.
        asked: question word or phrase at the start of the clause (où, quel livre), if it is not the subject.
        pronouns: object pronouns, including y and en.
        objects: objects that follow the verb, in order. Their French words include prepositions.
        tail: adverbials that follow the objects.
        frequency: adverb of frequency or déjà. In French, it follows the finite verb.
        habit: whether the clause describes a habit, so that the English tense is simple, not progressive.
        since: whether the action began in the past and still continues (depuis).
        perfect: whether English translates the passé composé with the present perfect: has already eaten.
        agrees: the pair (whether it is feminine, whether it is plural) for a direct object that precedes the
            verb and is not one of `pronouns`. The past participle agrees with this object.
        linked: for some French pronouns, the tag that the pronoun shares with a phrase in `objects`. The
            phrase is either the English translation of the pronoun (explains the rule to me) or the French
            number that accompanies en (j'en ai deux).
        also: additional tags of the English verb, if the verb also translates an object (avoir besoin: need).
        manner: adverb of manner, such as vite. In French, it follows the verb, but bien, mal and beaucoup
            precede a participle or infinitive. In English, it follows the objects.
    """

    subject: Phrase
    verb: Verb
    tense: str = "present"
    negation: str = ""
    question: str = ""
    asked: Phrase | None = None
    pronouns: list[Pronoun] = field(default_factory=list)
    objects: list[Phrase] = field(default_factory=list)
    tail: list[Phrase] = field(default_factory=list)
    frequency: Phrase | None = None
    habit: bool = False
    since: bool = False
    perfect: bool = False
    agrees: tuple[bool, bool] | None = None
    linked: dict[str, int] = field(default_factory=dict)
    also: tuple[int, ...] = ()
    manner: Phrase | None = None


#: English verbs that have no progressive before an infinitive: he keeps asking, she agreed to come.
_SIMPLE = ("stop", "finish", "keep", "forget", "hesitate", "agree", "promise", "decide", "offer", "refuse")


def aspect(clause: Clause) -> str:
    """Return the English tense of a clause, as one of the names that `english_verb` accepts."""
    is_often = clause.frequency is not None and clause.frequency.fr[0].text != "déjà"
    simple = clause.verb.state or clause.verb.en[BASE] == "find" or clause.habit or is_often
    simple = simple or clause.negation == "jamais"
    simple = simple or ("inf" in clause.verb.object and clause.verb.en[BASE] in _SIMPLE)
    simple = simple or "outing" in clause.verb.object  # to go swimming: he is going swimming would be a plan
    if clause.tense == "present":
        if clause.since:
            return "perfect" if clause.verb.state else "perfect progressive"
        return "present" if simple or clause.negation == "plus" else "progressive"
    if clause.tense == "imparfait":
        return "past" if simple else "past progressive"
    if clause.tense == "passé composé":
        if clause.verb.en[BASE] == "can" and not clause.negation:
            return "was able"
        done = clause.perfect or clause.negation in ("jamais", "pas encore")
        return "perfect" if done else "past"
    return {
        "en train": "progressive",
        "plus-que-parfait": "past perfect",
        "futur": "future",
        "futur proche": "going to",
        "conditionnel": "would like" if clause.verb.lemma == "vouloir" and not clause.negation else "would",
        "passé récent": "just",
    }[clause.tense]


def realise(clause: Clause, conjugations: dict[str, Conjugation]) -> Phrase:
    """Return the words of a clause in both languages, without an initial capital or a final mark."""
    tags = {"verb": new_tag(), "not": new_tag(), "question": new_tag(), "aux": new_tag()}
    pronouns = sorted(clause.pronouns, key=lambda pronoun: pronoun.slot)
    pronoun_tags = {pronoun.fr: clause.linked.get(pronoun.fr) or new_tag() for pronoun in pronouns}
    return Phrase(
        _french(clause, pronouns, pronoun_tags, tags, conjugations),
        _english(clause, pronouns, pronoun_tags, tags),
    )


def _french(
    clause: Clause,
    pronouns: list[Pronoun],
    pronoun_tags: dict[str, int],
    tags: dict[str, int],
    conjugations: dict[str, Conjugation],
) -> list[Word]:
    verb, subject, v = clause.verb, clause.subject, (tags["verb"],)
    finite, middle, main = _french_verb(clause, tags, conjugations)
    clitics = [Word(pronoun.fr, (pronoun_tags[pronoun.fr],)) for pronoun in pronouns]
    if verb.reflexive:
        clitics.insert(0, Word(REFLEXIVE[subject.person], v))
    first, *second = clause.negation.split() or [""]
    negative = (tags["not"],)
    out: list[Word] = []
    if clause.asked:
        out += clause.asked.fr
    if clause.question == "est-ce que":
        q = (tags["question"],)
        out += [Word("est", q), Word("-ce", q), Word("que", q)]
    is_pronoun = len(subject.fr) == 1 and subject.fr[0].text in SUBJECT_CLITICS
    if clause.question != "inversion" or not is_pronoun:
        out += subject.fr
    if first:
        out.append(Word("ne", negative))
    before_main = main and clause.tense not in COMPOUND
    if not before_main:
        out += clitics
    out.append(finite)
    if clause.question == "inversion":
        out.append(_inverted(subject, finite.text))
    if first and first not in ("personne", "que"):
        out += [Word(part, negative) for part in (first, *second)]
    if clause.frequency:
        out += clause.frequency.fr
    out += middle
    manner = clause.manner.fr if clause.manner else []
    early = ["bien", "mal", "beaucoup"] + ["vite"] * bool(clause.objects or clause.pronouns)
    words = [*clitics, *main] if before_main else main
    is_early = bool(manner) and manner[0].text in early  # il va bien la laver
    out += [*manner, *words] if is_early else [*words, *manner]
    if first in ("personne", "que"):
        out.append(Word(first, negative))
    for phrase in [*clause.objects, *clause.tail]:
        out += phrase.fr
    return out


SUBJECT_CLITICS = ("je", "tu", "il", "elle", "on", "nous", "vous", "ils", "elles", "ce")


def _inverted(subject: Phrase, finite: str) -> Word:
    """Return the pronoun that inversion attaches to the verb: `-t-il`.

    If the subject is a noun, the pronoun has the gender and number of the noun.
    """
    pronoun = subject.fr[0].text
    if len(subject.fr) > 1 or pronoun not in SUBJECT_CLITICS:
        pronoun = ("elle" if subject.feminine else "il") + ("s" if subject.plural else "")
    euphonic = "t-" if finite[-1] in "aec" and pronoun[0] in "eio" else ""
    return Word(f"-{euphonic}{pronoun}", (subject.head,))


def _french_verb(
    clause: Clause, tags: dict[str, int], conjugations: dict[str, Conjugation]
) -> tuple[Word, list[Word], list[Word]]:
    """Return the words of the French verb in three parts.

    The parts are the finite verb, the fixed words after the finite verb (en train de), and the participle or
    infinitive. The second and third parts are empty in tenses that do not have them.
    """
    verb, person, v, aux = clause.verb, clause.subject.person, (tags["verb"],), (tags["aux"],)
    forms = verb.forms
    simple = {
        "present": forms.present,
        "imparfait": forms.imperfect,
        "futur": forms.future,
        "conditionnel": forms.conditional,
    }
    if clause.tense in simple:
        return Word(simple[clause.tense][person], v), [], []
    if clause.tense in COMPOUND:
        auxiliary_forms = conjugations["être" if verb.etre else "avoir"]
        past = clause.tense == "plus-que-parfait"
        auxiliary = (auxiliary_forms.imperfect if past else auxiliary_forms.present)[person]
        return Word(auxiliary, v), [], [Word(_participle(clause), v)]
    infinitive = [Word(forms.infinitive, v)]
    if clause.tense == "futur proche":
        return Word(conjugations["aller"].present[person], aux), [], infinitive
    if clause.tense == "passé récent":
        return Word(conjugations["venir"].present[person], aux), [Word("de", aux)], infinitive
    middle = [Word(word, aux) for word in ("en", "train", "de")]
    return Word(conjugations["être"].present[person], aux), middle, infinitive


def _participle(clause: Clause) -> str:
    verb, subject = clause.verb, clause.subject
    agrees = next((pronoun.direct for pronoun in clause.pronouns if pronoun.direct), clause.agrees)
    if verb.etre and not (verb.reflexive and verb.direct):
        agrees = (subject.feminine, subject.plural)
    is_feminine, is_plural = agrees or (False, False)
    return french.agree(verb.forms.participle, is_feminine=is_feminine, is_plural=is_plural)


def _english(
    clause: Clause, pronouns: list[Pronoun], pronoun_tags: dict[str, int], tags: dict[str, int]
) -> list[Word]:
    verb, subject, v, negative = clause.verb, clause.subject, (tags["verb"],), (tags["not"],)
    first = clause.negation.split()[0] if clause.negation else ""
    is_negative = first in ("pas", "plus", "rien", "personne")
    inverted = clause.question not in ("", "subject")
    tense = aspect(clause)
    auxiliaries, main = english_verb(verb, tense, subject.en_person, split=inverted or is_negative)
    separate = clause.tense in ("futur proche", "passé récent", "en train")
    aux_tag = (tags["aux"],) if separate else v
    out: list[Word] = list(clause.asked.en) if clause.asked else []
    head, *others = auxiliaries or [""]
    fronted = inverted and is_negative and head in NEGATED
    if inverted:
        out.append(Word(head, (*aux_tag, tags["question"])))
        out += [Word("not", negative)] if fronted else []
    out += subject.en
    if head and not inverted:
        is_pronoun = len(subject.en) == 1 and subject.en[0].text in _SUBJECT_PRONOUNS
        short = (
            _SHORT_HAVE.get(head) if is_pronoun and main and not is_negative and not clause.asked else None
        )
        out.append(Word(short or head, aux_tag))
    if is_negative and not fronted:
        out.append(Word("not", negative))
    if first in ("jamais", "que"):
        out.append(Word("never" if first == "jamais" else "only", negative))
    if clause.frequency:
        out += clause.frequency.en
    out += [Word(word, aux_tag) for word in others]
    out += [Word(word, v + clause.also) for word in main]
    if verb.preposition and verb.rest and clause.objects and main and "inf" not in verb.object:
        governed = clause.objects[0].fr[0].tags[:1]  # link the prepositions of danser avec, dance with
        out[-1] = Word(out[-1].text, (*out[-1].tags, *governed))
    particle = [Word(word, v) for word in verb.particle.split()]
    ordered = sorted(pronouns, key=lambda p: (len(p.en) > 1, p.slot))  # one with a preposition is last
    object_words = [[Word(word, (pronoun_tags[p.fr],)) for word in p.en] for p in ordered]
    n_before = int(bool(ordered) and len(ordered[0].en) == 1)  # gives it back to him
    lone = bool(clause.objects) and len(clause.objects[0].en) == 1  # takes that off, calls Paul back
    nobody = NEGATIONS[first] if first in ("rien", "personne") else ()
    out += [word for words in object_words[:n_before] for word in words]
    out += [*(Word(word, negative) for word in nobody), *([] if lone else particle)]
    out += [word for words in object_words[n_before:] for word in words]
    for i, phrase in enumerate(clause.objects):
        out += phrase.en + (particle if lone and i == 0 else [])
    for phrase in [*([clause.manner] if clause.manner else []), *clause.tail]:
        out += phrase.en
    if first in ("plus", "pas"):
        words = NEGATIONS[clause.negation]
        words = ("more",) if first == "plus" and out[-1].text == "any" else words  # not: any anymore
        out += [Word(word, negative) for word in words]
    return out


#: Contractions of have after a pronoun and before a participle: I've eaten.
_SHORT_HAVE = {"have": "'ve", "has": "'s", "had": "'d"}
_SUBJECT_PRONOUNS = ("I", "you", "he", "she", "it", "we", "they")
