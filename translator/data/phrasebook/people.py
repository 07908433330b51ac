"""What people feel, need, suffer and are called."""

from dataclasses import replace

from translator.data.phrasebook import beings, parts, places
from translator.data.phrasebook.clauses import Clause
from translator.data.phrasebook.descriptions import STATES, asked, perhaps_not
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.french import starts_with_vowel
from translator.data.phrasebook.nouns import name, noun_phrase
from translator.data.phrasebook.numbers import number
from translator.data.phrasebook.phrases import Phrase, Word, after_preposition, new_tag, pattern
from translator.data.phrasebook.sentences import avoir, be
from translator.data.phrasebook.statements import clause, say, verbs


def feeling(d: Draw) -> Phrase:
    """J'ai faim; elle avait très froid; as-tu peur ?"""
    who = beings.pronoun(d) if d.chance(0.7) else beings.being(d, d.noun("human"))
    return asked(d, avoir(d, who, tense=d.pick(STATES), negation=perhaps_not(d)), 0.25)


def needs(d: Draw) -> Phrase:
    """J'ai besoin d'un stylo; il a envie de dormir; nous avons peur des chiens."""
    d.build("avoir besoin de")
    french, base, past, rest = d.pick(
        (
            ("besoin", "need", "needed", ""),
            ("envie", "feel", "felt", "like"),
            ("peur", "be", "was", "afraid of"),
        )
    )
    third = {"need": "needs", "feel": "feels", "be": "is"}[base]
    verb = d.lexicon.plain("avoir", base, third, past, past, base + "ing")
    who = beings.pronoun(d) if d.chance(0.7) else beings.being(d, d.noun("human"))
    tag = new_tag()
    tense = d.pick(STATES)
    d.combine(f"avoir {french}", tense)
    words = [Word(w, (tag,)) for w in rest.split()]
    if d.chance(0.4) and french != "peur":
        what = parts.infinitive(d, d.pick(parts.doings(d)), who, ing=french == "envie")
        words += [Word("to", (tag,))] if french == "besoin" else []
        phrase = Phrase([Word(french, (tag,)), Word("de", (tag,)), *what.fr], [*words, *what.en])
    else:
        noun = d.noun(
            *(("animal", "weather") if french == "peur" else ("thing", "eatable", "drink", "money"))
        )
        if french == "peur":
            what = noun_phrase(noun, "general", plural=noun.counted)
        else:
            what = parts.thing(d, noun, who)
        d.combine(f"avoir {french}", noun.lemma)
        phrase = Phrase([Word(french, (tag,)), *after_preposition("de", what, tag)], [*words, *what.en])
    d.build(tense)
    drawn = Clause(who, verb, tense, perhaps_not(d), objects=[phrase])
    if french == "besoin":
        drawn.also = (tag,)
    return asked(d, drawn)


_NOT_ACHING = {
    "corps",
    "visage",
    "barbe",
    "moustache",
    "ongle",
    "os",
    "peau",
    "front",
    "lèvre",
    "joue",
}


def ache(d: Draw) -> Phrase:
    """J'ai mal à la tête: my head hurts."""
    d.build("avoir mal à")
    noun = d.pick([n for n in d.lexicon.of("body") if n.lemma not in _NOT_ACHING])
    who = beings.pronoun(d) if d.chance(0.7) else places.first_name(d)
    plural = noun.lemma in ("dent", "pied", "jambe", "œil", "genou", "oreille")
    place = noun_phrase(noun, "definite", plural=plural)
    body = place.en[1:]
    if who.human:
        owned = [*who.en, Word("'s", who.fr[0].tags), *body]
    else:
        owned = [Word(who.owner, who.fr[0].tags), *body]
    verb = d.lexicon.plain("avoir", "hurt", "hurts", "hurt", "hurt", "hurting")
    tense = d.pick(STATES[:6])
    d.build(tense)
    tag = new_tag()
    what = Phrase([Word("mal", (tag,)), *after_preposition("à", place, tag)], [])
    hurting = replace(who, en=owned, en_person=5 if plural else 2)
    return asked(d, Clause(hurting, verb, tense, perhaps_not(d, 0.1), objects=[what], also=(tag,)))


def age(d: Draw) -> Phrase:
    """Mon frère a douze ans; quel âge as-tu ?"""
    d.build("age")
    who = beings.pronoun(d) if d.chance(0.5) else beings.being(d, d.noun("family"))
    if d.chance(0.2):
        verb = d.lexicon.plain("avoir", "be", "is", "was", "been", "being")
        drawn = Clause(who, verb, "present")
        drawn.asked = pattern("quel_a âge_b", "how_a old_b")
        drawn.question = "est-ce que" if who.person == 0 or d.chance(0.5) else "inversion"
        return say(d, drawn, "?")
    count = d.below(2, 95)
    verb = d.lexicon.plain("avoir", "be", "is", "was", "been", "being")
    words, tag = number(count), new_tag()
    own = new_tag()
    what = Phrase(
        [*(Word(w, (tag,)) for w in words[0]), Word("ans", (own,))],
        [*(Word(w, (tag,)) for w in words[1]), Word("years", (own,)), Word("old", (own,))],
    )
    tense = d.pick(("present", "present", "imparfait", "futur"))
    d.build(tense)
    return say(d, Clause(who, verb, tense, objects=[what]))


def called(d: Draw) -> Phrase:
    """Je m'appelle Paul; il s'appelle Pierre Dupont."""
    d.build("je m'appelle")
    who = (
        beings.pronoun(d, only=("je", "tu", "il", "elle"))
        if d.chance(0.6)
        else beings.being(d, d.noun("family", "pet"))
    )
    if who.plural:
        who = beings.pronoun(d, only=("je",))
    entries = [e for e in d.lexicon.names if e.kind == "first" and (e.gender == "f") == who.feminine]
    full = name(d.pick(entries))
    if d.chance(0.3):
        surname = name(d.pick([e for e in d.lexicon.names if e.kind == "surname"]))
        full = full + surname
    forms = ("appelle", "appelles", "appelle", "", "", "")
    se = ("me", "te", "se")[who.person]
    tag = new_tag()
    fr = [*who.fr, Word(se, (tag,)), Word(forms[who.person], (tag,)), *full.fr]
    if len(who.fr) == 1:
        en = [Word(who.owner, who.fr[0].tags), Word("name", (tag,)), Word("is", (tag,)), *full.en]
    else:
        en = [*who.en, Word("'s", (tag,)), Word("name", (tag,)), Word("is", (tag,)), *full.en]
    return pattern("{0} .", "{0} .", Phrase(fr, en))


def origin(d: Draw) -> Phrase:
    """Il vient de Paris; elle vient du Japon; la France est un pays."""
    d.build("venir de a place")
    who = beings.pronoun(d) if d.chance(0.6) else beings.being(d, d.noun("person", "job", "family"))
    verb = d.lexicon.plain("venir", "come", "comes", "came", "come", "coming")
    if d.chance(0.5):
        entry = d.pick([e for e in d.lexicon.names if e.kind == "country"])
        place = places.country_phrase(entry, "de", "from")
    else:
        town = name(d.pick([e for e in d.lexicon.names if e.kind == "town"]))
        place = pattern("de_a {0}", "from_a {0}", town)
    return asked(d, Clause(who, verb, "present", perhaps_not(d, 0.1), objects=[place]))


def likes(d: Draw) -> Phrase:
    """J'aime le chocolat; elle déteste les araignées."""
    d.build("general article")
    verb = d.pick(verbs(d, lambda v: v.liking))
    drawn = clause(
        d, verb=verb, tense=d.pick(("present", "present", "imparfait")), simple=True, negation=perhaps_not(d)
    )
    return asked(d, drawn)


def full_of(d: Draw) -> Phrase:
    """Elle est pleine de courage; il travaille avec patience."""
    d.build("feelings")
    d.known = True
    feeling_noun = noun_phrase(d.noun("feeling"), "bare")
    if d.chance(0.6):
        who = beings.pronoun(d) if d.chance(0.6) else beings.being(d, d.noun("person", "family"))
        forms = ("plein", "pleine", "pleins", "pleines")
        what = pattern(
            f"{forms[who.feminine + 2 * who.plural]}_a de_b {{0}}", "full_a of_b {0}", feeling_noun
        )
        return asked(d, be(d, who, what, tense=d.pick(STATES), negation=perhaps_not(d, 0.1)))
    drawn = clause(d, verb=d.pick([v for v in parts.doings(d) if v.intransitive]), simple=True)
    drawn.tail.append(pattern("avec_a {0}", "with_a {0}", feeling_noun))
    return say(d, drawn)


#: What one does to one's own body: elle se lave les mains.
_OWN = (
    (
        "toucher",
        "touch",
        "touches",
        "touched",
        "touched",
        "touching",
        "visage front joue lèvre barbe peau os ventre",
    ),
    (
        "laver",
        "wash",
        "washes",
        "washed",
        "washed",
        "washing",
        "main visage pied bras dos cou oreille barbe corps",
    ),
    (
        "casser",
        "break",
        "breaks",
        "broke",
        "broken",
        "breaking",
        "bras jambe pied main doigt nez poignet cheville dent",
    ),
    ("couper", "cut", "cuts", "cut", "cut", "cutting", "doigt main pouce ongle barbe moustache"),
    ("brosser", "brush", "brushes", "brushed", "brushed", "brushing", "dent"),
    ("essuyer", "wipe", "wipes", "wiped", "wiped", "wiping", "main bouche front visage lèvre nez"),
)


_BOTH = ("main", "pied", "dent", "oreille", "ongle", "lèvre")


def own_body(d: Draw) -> Phrase:
    """Je me lave les mains; elle s'est cassé la jambe."""
    d.build("reflexive with a part of the body", "reflexive")
    french, *english, what = d.pick(_OWN)
    reflexive = f"s'{french}" if starts_with_vowel(french) else f"se {french}"
    verb = d.lexicon.plain(reflexive, *english, done_to=("body",))
    noun = d.pick([n for n in d.lexicon.of("body") if n.lemma in what.split()])
    plural = noun.lemma in _BOTH and french != "casser"
    who = beings.pronoun(d) if d.chance(0.6) else places.first_name(d)
    body = noun_phrase(noun, "definite", plural=plural)
    body.en = [Word(who.owner, body.fr[0].tags), *body.en[1:]]
    tense = d.pick(("present", "present", "passé composé", "futur", "futur proche", "imparfait"))
    if french == "casser":
        tense = d.pick(("passé composé", "passé composé", "futur"))
    d.build(tense)
    d.combine(verb.lemma, tense)
    drawn = Clause(who, verb, tense, "pas" if d.chance(0.15) else "", objects=[body])
    return asked(d, drawn)
