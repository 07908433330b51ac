"""Patterns: sentences with typed slots, which are read from tables and filled by the grammar."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

from translator.data.phrasebook import beings, english, french, parts, places
from translator.data.phrasebook.clauses import REFLEXIVE, realise
from translator.data.phrasebook.copying import COPIED, copied
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.lexicon import TABLES, load
from translator.data.phrasebook.nouns import EN_POSSESSIVES, POSSESSIVES, fitting, noun_phrase
from translator.data.phrasebook.numbers import clock, number
from translator.data.phrasebook.pattern_tables import Items, Known, Pattern, Slot, check, read
from translator.data.phrasebook.phrases import Phrase, Word, after_preposition, glued, new_tag
from translator.data.phrasebook.statements import clause
from translator.data.phrasebook.vocabulary import GROUPS, Noun, Verb

#: For each French determiner that a slot can have, the arguments `kind` and `plural` of `noun_phrase`.
KINDS = {
    "un": ("indefinite", False), "des": ("indefinite", True), "le": ("definite", False),
    "les": ("definite", True), "ce": ("demonstrative", False), "ces": ("demonstrative", True),
    "quel": ("which", False), "quels": ("which", True), "chaque": ("every", False), "tous": ("all", True),
    "plusieurs": ("several", True), "quelques": ("a few", True), "deux": ("number", True),
    "-": ("bare", False), "--": ("bare", True), "de": ("negated", False), "de--": ("negated", True),
    "poss": ("possessive", False), "poss--": ("possessive", True),
    **{row[k]: ("possessive", k == 2) for k in (0, 2) for row in POSSESSIVES},
}  # fmt: skip
_OWNERS = {row[k]: place for place, row in enumerate(POSSESSIVES) for k in (0, 2)}
TENSES = {
    "présent": "present", "imparfait": "imperfect", "futur": "future", "conditionnel": "conditional",
    "subjonctif": "subjunctive", "passé": "", "infinitif": "",
}  # fmt: skip
#: Maximum number of attempts to fill a slot differently from the pattern's other slots of the same kind.
_MAX_TRIES = 20
FORMS = {"base": 0, "present": 1, "past": 2, "participle": 3, "ing": 4}
_BUILT_IN: dict[str, Callable[[Draw], Phrase]] = {
    "subject": beings.anybody,
    "pronoun": beings.pronoun,
    "first": places.first_name,
    "count": lambda d: _invariable(*number(d.below(2, 100))),
    "clock": lambda d: _invariable(
        *clock(d.below(1, 13), d.pick((0, -15, 15, 15, 30, 30, d.below(-5, 6) * 5)))
    ),
    **{kind: partial(places.named, kind=kind) for kind in ("surname", "town", "country")},
    **{f"{to}-town": partial(places.in_town, goes=to == "to") for to in ("in", "to")},
    **{f"{to}-country": partial(places.in_country, goes=to == "to") for to in ("in", "to")},
    **{f"{to}-place": partial(places.location, goes=to == "to") for to in ("in", "to")},
    **{
        f"when-{kind}": partial(lambda d, kind: places.time(d, kind), kind=kind)
        for kind in ("past", "present", "future", "habit")
    },
    **{f"adverb-{k}": partial(places.adverb, kind=k) for k in ("manner", "frequency", "place", "sentence")},
}


@cache
def tables() -> dict[str, list[Pattern]]:
    """Return a dict from the name of a slot to the patterns that can fill the slot.

    Patterns that are whole sentences have the key "sentence".

    Raises:
        DataError: a table is invalid; the message names file, line and remedy.
    """
    by_slot: dict[str, list[Pattern]] = {}
    for file, named in (("patterns.tsv", False), ("slots.tsv", True)):
        for slot, line in read(TABLES / file, named=named):
            by_slot.setdefault(slot, []).append(line)
    lexicon = load()
    classes = {of for noun in lexicon.nouns for of in noun.classes} | GROUPS.keys()
    verbs = {line.lemma for line in lexicon.verbs} | lexicon.conjugations.keys()
    shared = {slot.kind for lines in by_slot.values() for line in lines for slot, _ in line.shared.values()}
    known = Known(
        drawn={*by_slot, *_BUILT_IN, *COPIED, *filter(copied, shared), "infinitive", "clause"},
        nouns={of for of in classes if lexicon.of(of)} | {noun.lemma for noun in lexicon.nouns},
        empty={of for of in classes if not lexicon.of(of)},
        french=verbs | {adjective.lemma for adjective in lexicon.adjectives},
        english=set(_english_verbs()),
        leads=[*KINDS, "adj"],
    )
    return check(by_slot, known)


def fill(
    d: Draw, line: Pattern, subject: Phrase | None = None, tense: str = "présent", form: str = "present"
) -> Phrase:
    """Fill the slots of a pattern.

    Args:
        d: source of random choices.
        line: the pattern.
        subject: subject of the verbs that have no subject before them in the pattern. If it is None, such a
            verb agrees with a subject that follows it.
        tense: tense of the French verbs whose slots name no tense.
        form: form of the English verbs whose slots name no form.
    """
    tags: tuple[dict[int, tuple[int, ...]], ...] = ({}, {})
    for link in line.links:
        tag = new_tag()
        for side, at in enumerate(link):
            tags[side][at] = (*tags[side].get(at, ()), tag)
    known: dict[str, Phrase] = {}
    for dependent in (False, True):  # first fill the slots with which other slots agree
        for at, item in enumerate(line.fr):
            if isinstance(item, Slot) and item.of in line.shared and dependent == _is_dependent(item):
                who = _subject(line.fr, at, known, subject, beings.FRENCH_PRONOUNS)
                alike = [known[of].fr for of in known if of.partition("#")[0] == item.kind]
                for _ in range(_MAX_TRIES):
                    known[item.of] = _shared(d, *line.shared[item.of], who)
                    if [w.text for w in known[item.of].fr] not in [[w.text for w in fr] for fr in alike]:
                        break
    sides: list[list[Word]] = []
    for side, items in enumerate((line.fr, line.en)):
        pronouns = (beings.FRENCH_PRONOUNS, beings.ENGLISH_PRONOUNS)[side]
        out: list[Word] = []
        for at, item in enumerate(items):
            if isinstance(item, Slot) and item.of in known:
                out = _joined(out, known[item.of]) if side == 0 else out + known[item.of].en
                continue
            texts = [item] if isinstance(item, str) else []
            if isinstance(item, Slot):
                who = _subject(items, at, known, subject, pronouns)
                texts = _french(d, item, who, tense) if side == 0 else [_english(item, who, form)]
            out += [Word(text, tags[side].get(at, ())) for text in texts]
        sides.append(out)
    # The result takes its person and gender from this phrase.
    first = known.get(getattr(line.fr[0], "of", ""), Phrase())
    return replace(first, fr=sides[0], en=sides[1])


def _subject(
    items: Items, at: int, known: dict[str, Phrase], outer: Phrase | None, pronouns: dict[str, Phrase]
) -> Phrase:
    """Return the phrase with which the word at position `at` agrees.

    If the slot of the word names another slot (`@person`), the result is the phrase in that slot. Otherwise,
    the result is the nearest noun phrase or pronoun before the word. If there is none, the result is `outer`
    or, if `outer` is None, the nearest noun phrase or pronoun after the word. If there is none either, the
    result is the pronoun il.
    """
    slot = items[at]
    for lead in slot.lead if isinstance(slot, Slot) else ():
        if lead.startswith("@"):
            return known[lead[1:]]
    for item in [*reversed(items[:at]), *(() if outer else items[at + 1 :])]:
        who = pronouns.get(item.lower()) if isinstance(item, str) else known.get(item.of)
        if who and who.head:
            return who
    return outer or beings.FRENCH_PRONOUNS["il"]


def _is_dependent(slot: Slot) -> bool:
    return slot.kind in {*tables(), "infinitive"} or any(lead.startswith(("poss", "@")) for lead in slot.lead)


def _joined(fr: list[Word], phrase: Phrase) -> list[Word]:
    """Append a phrase to French words. If the last word is à or de, contract it with the phrase's article."""
    if not fr or fr[-1].text not in ("à", "de"):
        return fr + phrase.fr
    *before, preposition = fr
    tag = new_tag()
    made = after_preposition(preposition.text, phrase, tag)
    own = [(*(t for t in w.tags if t != tag), *(preposition.tags if tag in w.tags else ())) for w in made]
    return before + [Word(word.text, tags) for word, tags in zip(made, own, strict=True)]


def _shared(d: Draw, left: Slot, right: Slot, who: Phrase) -> Phrase:
    """Draw the phrase for a slot that is on both sides. Its verbs and possessives agree with `who`."""
    if left.kind in tables():
        tense = next((lead for lead in left.lead if lead in TENSES), "infinitif")
        form = next((lead for lead in right.lead if lead in FORMS), "base")
        return fill(d, d.pick(tables()[left.kind]), who, tense, form)
    if left.kind == "infinitive":
        return parts.infinitive(d, d.pick(d.lexicon.actions), who, ing="ing" in right.lead)
    if left.kind == "clause":
        tense = "passé composé" if "passé" in left.lead else "present"
        return realise(clause(d, tense=tense, simple=True), d.lexicon.conjugations)
    if draw := copied(left.kind):
        return _invariable(*map(glued, draw(d)))
    return _BUILT_IN[left.kind](d) if left.kind in _BUILT_IN else _noun(d, left, right, who)


def _invariable(fr: list[str], en: list[str]) -> Phrase:
    """Return an invariable phrase, such as a number or a price, in which all words have the same tag."""
    tag = new_tag()
    return Phrase([Word(word, (tag,)) for word in fr], [Word(word, (tag,)) for word in en])


def _noun(d: Draw, left: Slot, right: Slot, who: Phrase) -> Phrase:
    determiner = next((lead for lead in left.lead if lead in KINDS), "-")
    sort, plural = KINDS[determiner]
    nouns = _nouns(left.kind)
    noun = d.pick([noun for noun in nouns if noun.counted] or nouns if plural else nouns)
    place = _OWNERS.get(determiner, who.person)
    named = determiner not in _OWNERS and place in (2, 5)
    phrase = noun_phrase(
        noun,
        sort,
        plural=plural and noun.counted,
        adjectives=fitting(d, noun, 1.0) if "adj" in left.lead else (),
        owner=(place, who.owner if named else EN_POSSESSIVES[place]),
        count=d.below(2, 13) if sort == "number" else 0,
    )
    determiners = [lead for lead in right.lead if lead not in ("adj", "poss", "poss--")]
    if determiners and (determiners != ["a"] or sort == "negated"):
        bare = noun_phrase(noun, "bare", plural=phrase.plural).en
        article = phrase.en[0].tags  # if there is an article, only its words have these tags
        n = next(i for i, w in enumerate(phrase.en) if w.tags != article or len(phrase.en) == len(bare))
        determiners = (
            ["any"] if determiners == ["a"] and not (noun.counted and phrase.en_person == 2) else determiners
        )
        phrase.en = [*(Word(w, article if n else ()) for w in determiners if w != "-"), *phrase.en[n:]]
    return phrase


def _french(d: Draw, slot: Slot, who: Phrase, tense: str) -> list[str]:
    """Return the words for a slot with a French verb or adjective, which agrees with `who`."""
    verb = _verb(slot.of)
    if verb is None:
        adjective = next(a for a in d.lexicon.adjectives if a.lemma == slot.of)
        return [adjective.forms[who.feminine + 2 * who.plural]]
    tense = next((lead for lead in slot.lead if lead in TENSES), tense)
    lead = [word for word in slot.lead if word not in TENSES and word[0] != "@"]
    second = [word for word in lead if word in ("pas", "plus", "jamais", "rien")]
    before = ["ne"] if second else []
    clitics = [REFLEXIVE[who.person]] * verb.reflexive + [word for word in lead if word not in second]
    if tense == "infinitif":
        return [*before, *second, *clitics, verb.forms.infinitive]
    if tense == "passé":
        auxiliary = d.lexicon.conjugations["être" if verb.etre else "avoir"].present[who.person]
        participle = verb.forms.participle
        if verb.etre and not (verb.reflexive and verb.direct):
            participle = french.agree(participle, is_feminine=who.feminine, is_plural=who.plural)
        return [*before, *clitics, auxiliary, *second, participle]
    return [*before, *clitics, getattr(verb.forms, TENSES[tense])[who.person], *second]


def _english(slot: Slot, who: Phrase, form: str) -> str:
    """Return the word for a slot with an English verb, which agrees with `who`."""
    form = next((lead for lead in slot.lead if lead in FORMS), form)
    if slot.of == "be" and form in ("present", "past"):
        return (english.BE_PRESENT if form == "present" else english.BE_PAST)[who.en_person]
    return _english_verbs()[slot.of][0 if form == "present" and who.en_person != 2 else FORMS[form]]


@cache
def _nouns(of: str) -> list[Noun]:
    """Return the nouns of the classes `of` ("food|drink") or, if there are none, with the lemma `of`."""
    return load().of(*of.split("|")) or [noun for noun in load().nouns if noun.lemma == of]


@cache
def _verb(lemma: str) -> Verb | None:
    verb = next((verb for verb in load().verbs if verb.lemma == lemma), None)
    if verb is None and lemma.removeprefix("se ") in load().conjugations:
        verb = load().verb_translated(lemma, "be", "is", "was", "been", "being")
    return verb


@cache
def _english_verbs() -> dict[str, tuple[str, ...]]:
    irregular = {"be": ("be", "is", "was", "been", "being"), "do": ("do", "does", "did", "done", "doing")}
    return {**{verb.en[0]: verb.en for verb in load().verbs}, **irregular}
