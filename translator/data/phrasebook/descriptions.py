"""What things and people are, compared, counted and placed."""

from translator.data.phrasebook import beings, places
from translator.data.phrasebook.clauses import Clause
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.english import BE_PRESENT
from translator.data.phrasebook.nouns import fitting, noun_phrase
from translator.data.phrasebook.phrases import Phrase, Word, after_preposition, new_tag, pattern, spread
from translator.data.phrasebook.sentences import be, be_adjective, it_is
from translator.data.phrasebook.statements import clause, say, verbs
from translator.data.phrasebook.vocabulary import Adjective, leaves

STATES = ("present",) * 4 + ("imparfait", "imparfait", "futur", "conditionnel")
_FORMS = ("est-ce que", "inversion", "intonation")


def asked(d: Draw, drawn: Clause, chance: float = 0.2) -> Phrase:
    """Say a clause, or ask it."""
    if not d.chance(chance):
        return say(d, drawn)
    drawn.question = d.pick(_FORMS if drawn.subject.person else _FORMS[::2])
    d.build(drawn.question)
    d.combine(drawn.tense, drawn.question)
    return say(d, drawn, "?")


def perhaps_not(d: Draw, chance: float = 0.2) -> str:
    """Draw a negation, or none."""
    return d.pick(("pas", "pas", "plus")) if d.chance(chance) else ""


def adjective(d: Draw) -> Phrase:
    """La maison est grande; es-tu fatigué ?"""
    d.known = True
    d.build("être with adjective")
    chosen = d.pick([a for a in d.lexicon.adjectives if a.graded or not a.before])
    who = described_by(d, chosen)
    tense = d.pick(STATES)
    negation = perhaps_not(d)
    d.combine(chosen.lemma, f"être {tense}")
    return asked(d, be_adjective(d, who, chosen, tense=tense, negation=negation))


def described_by(d: Draw, chosen: Adjective) -> Phrase:
    """Draw a subject that an adjective suits."""
    if "person" in chosen.applies and d.chance(0.55):
        d.build("subject pronoun")
        return beings.pronoun(d) if d.chance(0.75) else places.first_name(d)
    noun = d.noun(*sorted(chosen.applies))
    d.combine(noun.lemma, f"est {chosen.lemma}")
    return beings.being(d, noun, adjectives=0.0)


def identity(d: Draw) -> Phrase:
    """C'est mon frère; ce sont des pommes; il est médecin; ce n'est pas un chat."""
    if d.chance(0.4):
        d.build("il est with a job")
        return _job(d)
    d.build("c'est")
    noun = d.pick(d.lexicon.nouns)
    while not noun.counted or noun.classes & {"time", "month", "weekday", "body", "season", "illness"}:
        noun = d.pick(d.lexicon.nouns)
    plural = d.chance(0.25)
    kind = d.pick(("indefinite", "indefinite", "possessive"))
    if noun.classes & {"family"}:
        kind = "possessive"
    what = noun_phrase(noun, kind, plural=plural, adjectives=fitting(d, noun, 0.4), owner=beings.any_owner(d))
    if kind == "indefinite" and what.en and what.en[0].text == "some":
        what.en = what.en[1:]
    who = ("she" if what.feminine else "he") if what.human else "it"
    english = "they_a are_b" if what.en_person == 5 else f"{who}_a is_b"
    verb = "sont" if what.plural else "est"
    if d.chance(0.15):
        d.build("est-ce que")
        asked = "are_qb they_a {0} ?" if what.en_person == 5 else f"is_qb {who}_a {{0}} ?"
        return pattern(f"est_q -ce_q que_q ce_a {verb}_b {{0}} ?", asked, what)
    if d.chance(0.2):
        d.build("pas")
        return pattern(f"ce_a ne_n {verb}_b pas_n {{0}} .", f"{english} not_n {{0}} .", what)
    tense, fr, en = d.pick(
        (("present", "est", "is"), ("present", "est", "is"), ("imparfait", "était", "was"))
    )
    d.build(tense)
    return it_is(what, fr, en)


def _job(d: Draw) -> Phrase:
    who = beings.pronoun(d) if d.chance(0.6) else places.first_name(d)
    jobs = [n for n in d.lexicon.of("job") if n.feminine == who.feminine]
    noun = d.pick(jobs)
    bare = noun_phrase(noun, "bare", plural=who.plural)
    if who.en_person in (0, 2) or (who.en_person in (1, 4) and not who.plural):
        what = Phrase(bare.fr, [Word("a", (bare.head,)), *bare.en])
    else:
        what = Phrase(bare.fr, noun_phrase(noun, "bare", plural=True).en)
    tense = d.pick(("present", "present", "imparfait", "futur"))
    d.combine(noun.lemma, f"être {tense}")
    return asked(d, be(d, who, what, tense=tense, negation=perhaps_not(d, 0.15)))


def there_is(d: Draw) -> Phrase:
    """Il y a un chat sur la table; il n'y a plus de pain; y a-t-il une banque ici ?"""
    d.build("il y a")
    noun = d.noun(
        "eatable", "drink", "thing", "living", "vehicle", "plant", "building", "landscape", "clothes"
    )
    form = d.pick(("is", "is", "is", "not", "no more", "was", "will", "ask", "many"))
    plural = noun.counted and d.chance(0.5)
    if form == "many":
        what = noun_phrase(noun, d.pick(("beaucoup", "trop", "peu")), plural=True)
        d.build("quantity")
    elif form in ("not", "no more"):
        what = noun_phrase(noun, "negated", plural=plural)
        d.build("pas de", "pas" if form == "not" else "plus")
    elif noun.counted and d.chance(0.3):
        what = noun_phrase(noun, "number", count=d.below(2, 21))
        d.build("number")
    else:
        what = noun_phrase(noun, "indefinite", plural=plural, adjectives=fitting(d, noun, 0.3))
    place = Phrase([], [])
    if d.chance(0.75):
        place = places.location(d, goes=False) if d.chance(0.7) else places.adverb(d, "place")
        if noun.classes & {"building", "landscape", "plant"}:
            place = places.location(d, goes=False, classes=("region",))
    many = what.en_person == 5
    d.combine("il y a", noun.lemma)
    if form == "not":
        if not many and noun.fr[1]:
            what.en[0] = Word("a", what.en[0].tags)
        line = f"there_a {'are' if many else 'is'}_b not_n {{0}} {{1}} ."
        return pattern("il_a ne_n y_b a_b pas_n {0} {1} .", line, what, place)
    if form == "no more":
        if not many and noun.fr[1]:
            what.en[0] = Word("a", what.en[0].tags)
        line = f"there_a {'are' if many else 'is'}_b not_n {{0}} {{1}} anymore_n ."
        return pattern("il_a ne_n y_b a_b plus_n {0} {1} .", line, what, place)
    if form == "ask":
        d.build("inversion" if d.chance(0.5) else "est-ce que")
        english = f"{'are' if many else 'is'}_b there_a {{0}} {{1}} ?"
        if "inversion" in d.constructions:
            return pattern("y_b a_b -t-il_a {0} {1} ?", english, what, place)
        return pattern("est_b -ce_b que_b il_a y_b a_b {0} {1} ?", english, what, place)
    fr, one, several = {
        "was": ("avait", "was", "were"),
        "will": ("aura", "will_b be", "will_b be"),
    }.get(form, ("a", "is", "are"))
    d.build({"was": "imparfait", "will": "futur"}.get(form, "present"))
    return pattern(
        f"il_a y_b {fr}_b {{0}} {{1}} .", f"there_a {several if many else one}_b {{0}} {{1}} .", what, place
    )


def where_it_is(d: Draw) -> Phrase:
    """Le livre est sur la table; où est ma clé ?"""
    d.known = True
    if d.chance(0.25):
        d.build("où")
        noun = d.noun("thing", "living", "building", "clothes")
        who = beings.being(d, noun, adjectives=0.1)
        many = who.en_person == 5
        return pattern(
            f"où_a {'sont' if who.plural else 'est'}_b {{0}} ?",
            f"where_a {'are' if many else 'is'}_b {{0}} ?",
            who,
        )
    if d.chance(0.5):
        who = beings.being(
            d, d.noun("object", "readable", "toy", "stationery", "kitchenware", "clothes", "pet")
        )
        place = near(d)
    else:
        who = beings.pronoun(d) if d.chance(0.5) else beings.being(d, d.noun("living"))
        place = places.location(d, goes=False)
    return asked(d, be(d, who, place, tense=d.pick(STATES[:6]), negation=perhaps_not(d, 0.1)), 0.15)


_POSITIONS = (
    ("sur", "on", ("surface",)),
    ("sous", "under", ("surface",)),
    ("dans", "in", ("inside",)),
    ("derrière", "behind", ("furniture", "building", "plant")),
    ("devant", "in front of", ("building", "furniture", "housepart")),
    ("à côté de", "next to", ("furniture", "building", "surface")),
    ("près de", "near", ("building", "outdoor", "plant")),
)


def near(d: Draw) -> Phrase:
    """Draw a place beside something: sur la table, à côté de la porte."""
    french, english, classes = d.pick(_POSITIONS)
    d.build(f"position {french}")
    noun = d.noun(*classes)
    place = noun_phrase(
        noun, d.pick(("definite", "definite", "demonstrative", "possessive")), owner=(0, "my")
    )
    tag = new_tag()
    lead = french.split()
    if lead[-1] == "de":
        fr = [Word(w, (tag,)) for w in lead[:-1]] + after_preposition("de", place, tag)
    else:
        fr = [*(Word(w, (tag,)) for w in lead), *place.fr]
    return Phrase(fr, [*(Word(w, (tag,)) for w in english.split()), *place.en])


def exclamation(d: Draw) -> Phrase:
    """Quel beau jardin ! Comme elle est jolie !"""
    d.build("exclamation")
    d.known = True
    chosen = d.pick([a for a in d.lexicon.adjectives if a.graded])
    nouns = [
        n for n in d.lexicon.of(*sorted(chosen.applies)) if not n.classes & (beings.GENERAL | {"family"})
    ]
    if nouns and d.chance(0.5):
        noun = d.pick(nouns)
        d.combine(noun.lemma, chosen.lemma)
        plural = noun.counted and d.chance(0.3)
        what = noun_phrase(noun, "which", plural=plural, adjectives=(chosen,))
        quel = what.fr[0].tags
        english = [Word("what", quel)]
        if what.en_person == 2 and noun.fr[1]:
            english.append(Word("a", quel))
        what.en = [*english, *what.en[1:]]
        return pattern("{0} !", "{0} !", what)
    who = described_by(d, chosen)
    form, tag, own = chosen.forms[who.feminine + 2 * who.plural], new_tag(), new_tag()
    conj = d.lexicon.conjugations["être"].present[who.person]
    fr = [Word("comme", (tag,)), *who.fr, Word(conj, (own,))]
    adj = new_tag()
    en = [Word("how", (tag,)), *spread(chosen.en, adj), *who.en, Word(BE_PRESENT[who.en_person], (own,))]
    return pattern("{0} !", "{0} !", Phrase([*fr, *spread(form, adj)], en))


_MADE_OF = (
    (leaves(["clothes"]), ("laine", "coton", "soie", "cuir")),
    (leaves(["building", "housepart"]), ("bois", "pierre", "béton", "brique", "verre", "métal", "marbre")),
    (
        leaves(["thing"]),
        (
            "bois",
            "métal",
            "plastique",
            "verre",
            "fer",
            "acier",
            "carton",
            "or",
            "argent",
            "papier",
            "marbre",
            "cuir",
        ),
    ),
)


def made_of(d: Draw) -> Phrase:
    """La table est en bois; j'ai acheté un sac en cuir."""
    d.build("en with a material")
    noun = d.noun("furniture", "kitchenware", "toy", "clothes", "building", "housepart", "object")
    stuff = next(names for classes, names in _MADE_OF if noun.classes & classes)
    of = noun_phrase(d.pick([n for n in d.lexicon.of("material") if n.lemma in stuff]), "bare")
    what = pattern("en_a {0}", "made_a of_a {0}", of)
    plural = noun.counted and d.chance(0.3)
    if d.chance(0.5):
        who = noun_phrase(noun, d.pick(("definite", "demonstrative")), plural=plural)
        return asked(
            d,
            be(
                d, who, what, tense=d.pick(("present", "present", "imparfait")), negation=perhaps_not(d, 0.15)
            ),
        )
    takers = verbs(d, lambda v: v.direct and not (v.reflexive or v.second) and bool(v.object & noun.classes))
    drawn = clause(d, verb=d.pick(takers), but="direct", simple=True)
    drawn.objects.insert(0, noun_phrase(noun, "indefinite", plural=plural) + what)
    return say(d, drawn)


def belongs(d: Draw) -> Phrase:
    """Ce livre est à moi; à qui est ce sac ?"""
    d.build("être à")
    noun = d.noun("thing", "wearable", "pet", "vehicle")
    what = noun_phrase(noun, "demonstrative", plural=noun.counted and d.chance(0.3))
    are, english = ("sont" if what.plural else "est"), ("are" if what.en_person == 5 else "is")
    if d.chance(0.2):
        return pattern(f"à_a qui_a {are}_b {{0}} ?", f"whose_a {english}_b {{0}} ?", what)
    own = d.pick(
        (
            ("moi", "mine"),
            ("toi", "yours"),
            ("lui", "his"),
            ("elle", "hers"),
            ("nous", "ours"),
            ("vous", "yours"),
            ("eux", "theirs"),
        )
    )
    return pattern(f"{{0}} {are}_a à_b {own[0]}_b .", f"{{0}} {english}_a {own[1]}_b .", what)
