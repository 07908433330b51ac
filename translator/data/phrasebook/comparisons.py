"""Comparing: plus grand que, le plus grand, mieux que moi, la mienne, celui-ci."""

from dataclasses import replace

from translator.data.phrasebook import beings, places
from translator.data.phrasebook.descriptions import asked, described_by, perhaps_not
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.nouns import name, noun_phrase
from translator.data.phrasebook.phrases import Phrase, Word, after_preposition, new_tag, pattern, spread
from translator.data.phrasebook.sentences import be, it_is
from translator.data.phrasebook.statements import TENSES, clause, leading, say, verbs
from translator.data.phrasebook.vocabulary import leaves


def comparison(d: Draw) -> Phrase:
    """Paul est plus grand que Marie."""
    d.known = True
    chosen = d.pick([a for a in d.lexicon.adjectives if a.graded])
    who = described_by(d, chosen)
    degree = d.pick(("plus", "plus", "moins", "aussi"))
    d.build(f"comparison {degree}")
    d.combine(chosen.lemma, degree)
    form, tag, than = chosen.forms[who.feminine + 2 * who.plural], new_tag(), new_tag()
    if who.human or len(who.fr) == 1:
        second = places.first_name(d) if d.chance(0.5) else _strong(d)
    else:
        second = beings.being(d, d.noun(*sorted(chosen.applies)), adjectives=0.0)
    better = degree == "plus" and chosen.lemma == "bon"
    fr = [Word("meilleur" + ("e" if who.feminine else "") + ("s" if who.plural else ""), (tag,))]
    if not better:
        fr = [Word(degree, (than,)), *spread(form, tag)]
    graded = {
        "plus": [Word(w, (tag, than)) for w in chosen.comparative.split()],
        "moins": [Word("less", (than,)), *spread(chosen.en, tag)],
        "aussi": [Word("as", (than,)), *spread(chosen.en, tag)],
    }[degree]
    if chosen.comparative.startswith("more ") and degree == "plus":
        graded = [Word("more", (than,)), *spread(chosen.en, tag)]
    what = Phrase(fr, graded) + pattern(
        "que_a {0}", "as_a {0}" if degree == "aussi" else "than_a {0}", second
    )
    return asked(
        d, be(d, who, what, tense=d.pick(("present", "present", "imparfait")), negation=perhaps_not(d, 0.1))
    )


_STRONG = (("moi", "me"), ("toi", "you"), ("lui", "him"), ("elle", "her"), ("nous", "us"), ("eux", "them"))


def _strong(d: Draw) -> Phrase:
    return places.word_for_word(*d.pick(_STRONG))


def superlative(d: Draw) -> Phrase:
    """C'est la plus grande maison du village; Paul est le plus gentil."""
    chosen = d.pick([a for a in d.lexicon.adjectives if a.graded])
    noun = d.pick(
        [n for n in d.lexicon.of(*sorted(chosen.applies)) if n.counted and "family" not in n.classes]
        or d.lexicon.of("person")
    )
    degree = d.pick(("plus", "plus", "plus", "moins"))
    d.build("superlative")
    d.combine(chosen.lemma, f"le {degree}")
    d.combine(noun.lemma, chosen.lemma)
    base = noun_phrase(noun, "bare")
    tag, the, most = new_tag(), new_tag(), new_tag()
    article = "la" if noun.feminine else "le"
    form = chosen.forms[int(noun.feminine)]
    graded = [Word(degree, (most,)), *spread(form, tag)]
    if chosen.lemma == "bon" and degree == "plus":
        graded = [Word("meilleure" if noun.feminine else "meilleur", (tag,))]
    if chosen.before:
        fr = [Word(article, (the,)), *graded, *base.fr]
    else:
        fr = [Word(article, (the,)), *base.fr, Word(article, (the,)), *graded]
    if degree == "moins":
        best = [Word("least", (most,)), *spread(chosen.en, tag)]
    elif chosen.superlative.startswith("most "):
        best = [Word("most", (most,)), *spread(chosen.en, tag)]
    else:
        best = [Word(chosen.superlative, (tag, most))]
    whole = replace(base, fr=fr, en=[Word("the", (the,)), *best, *base.en])
    if d.chance(0.5) and (noun.is_human or noun.classes & leaves(["place", "animal"])):
        classes = ("group", "region") if noun.is_human else ("region",)
        there = d.noun(*classes)
        where, english = noun_phrase(there, "definite"), there.where[1] if there.where else "in"
        of = new_tag()
        whole = replace(
            whole,
            fr=whole.fr + after_preposition("de", where, of),
            en=[*whole.en, Word(english, (of,)), *where.en],
        )
    if noun.is_human and d.chance(0.5):
        names = [e for e in d.lexicon.names if e.kind == "first" and (e.gender == "f") == noun.feminine]
        return say(d, be(d, name(d.pick(names)), whole))
    return it_is(whole)


_MANNERS = (
    ("mieux", "better"),
    ("plus mal", "worse"),
    ("plus vite", "faster"),
    ("plus lentement", "more slowly"),
    ("plus souvent", "more often"),
    ("plus tôt", "earlier"),
    ("plus tard", "later"),
    ("moins vite", "less fast"),
    ("moins souvent", "less often"),
    ("aussi bien", "as well"),
    ("aussi vite", "as fast"),
)
#: Of me, you, him, us, you, them: masculine and feminine, the s of the plural aside.
_MINE = (
    ("mien", "mienne", "mine"),
    ("tien", "tienne", "yours"),
    ("sien", "sienne", "his"),
    ("nôtre", "nôtre", "ours"),
    ("vôtre", "vôtre", "yours"),
    ("leur", "leur", "theirs"),
)
_BETTER = ("meilleur", "meilleure", "meilleurs", "meilleures")


def manner(d: Draw) -> Phrase:
    """Il court plus vite que moi; elle chante aussi bien que Paul."""
    d.build("comparison of manner")
    d.calm = True
    verb = d.pick(verbs(d, lambda v: bool(v.how) and bool(v.subject & beings.HUMAN) and v.intransitive))
    drawn = clause(d, verb=verb, tense=d.pick(TENSES[:4]), simple=True)
    drawn.habit = True
    french, english = d.pick(_MANNERS)
    d.combine(verb.key, french)
    other = places.first_name(d) if d.chance(0.4) else places.word_for_word(*d.pick(_STRONG))
    than = "as" if english.startswith("as ") else "than"
    drawn.tail.append(places.word_for_word(french, english))
    drawn.tail.append(pattern("que_a {0}", f"{than}_a {{0}}", other))
    return say(d, drawn)


def mine(d: Draw) -> Phrase:
    """Ta voiture est plus chère que la mienne; où est la tienne ?"""
    d.build("le mien")
    place = d.below(0, 6)
    own, owner = _MINE[place], beings.any_owner(d)
    while owner[0] == place:
        owner = beings.any_owner(d)
    noun = d.noun("thing", "clothes", "vehicle", "pet")
    plural = noun.counted and d.chance(0.3)
    what = noun_phrase(noun, d.pick(("demonstrative", "possessive")), plural=plural, owner=owner)
    pronoun = _mine(own, what)
    graded = [a for a in d.lexicon.suiting(noun) if a.graded]
    if graded and d.chance(0.6):
        chosen = d.pick(graded)
        d.combine(chosen.lemma, "plus")
        than, tag = new_tag(), new_tag()
        form = spread(chosen.forms[what.feminine + 2 * what.plural], tag)
        fr = [Word("plus", (than,)), *form]
        if chosen.lemma == "bon":
            fr = [Word(_BETTER[what.feminine + 2 * what.plural], (tag,))]
        compared = Phrase(fr, spread(chosen.comparative, tag, than))
        return say(d, be(d, what, compared + pattern("que_a {0}", "than_a {0}", pronoun)))
    if d.chance(0.4):
        pronoun.en_person = pronoun.person = what.person
        return it_is(pronoun)
    verb = d.pick(leading(d, lambda v: not v.second and bool(v.object & noun.classes)))
    drawn = clause(d, verb=verb, but="direct", simple=True)
    drawn.objects.insert(0, pronoun)
    return say(d, drawn)


def _mine(own: tuple[str, str, str], like: Phrase) -> Phrase:
    article, tag = ("les" if like.plural else ("la" if like.feminine else "le")), new_tag()
    form = own[like.feminine] + ("s" if like.plural else "")
    return Phrase([Word(article, (tag,)), Word(form, (tag,))], [Word(own[2], (tag,))])


def this_one(d: Draw) -> Phrase:
    """Je préfère celui-ci; celle de Paul est rouge; prends celle-là."""
    d.build("celui")
    french, here = d.pick(("celui", "celle", "ceux", "celles")), d.pick(("-ci", "-là"))
    if french in ("celui", "celle"):
        what = pattern(f"{french}_a {here}_b", f"{'this' if here == '-ci' else 'that'}_b one_a")
    else:
        what = pattern(f"{french}_a {here}_a", f"{'these' if here == '-ci' else 'those'}_a")
    verb = d.pick(leading(d, lambda v: not (v.second or v.object & beings.LIVING)))
    drawn = clause(d, verb=verb, but="direct", simple=True)
    drawn.objects.insert(0, what)
    return say(d, drawn)


def that_thing(d: Draw) -> Phrase:
    """Ce livre-là est à Paul: that book is Paul's; cette fille-là est grande."""
    d.build("ce …-là")
    chosen = d.pick([a for a in d.lexicon.adjectives if a.graded or not a.before])
    noun = d.noun(*sorted(chosen.applies - {"family"}) or ("person",))
    plural = noun.counted and d.chance(0.3)
    who = noun_phrase(noun, "demonstrative", plural=plural)
    there = who.fr[0].tags
    who.fr = [*who.fr, Word("-là", there)]
    who.en = [Word("those" if who.en[0].text == "these" else "that", there), *who.en[1:]]
    d.combine(noun.lemma, f"est {chosen.lemma}")
    tag = new_tag()
    what = Phrase(spread(chosen.forms[who.feminine + 2 * who.plural], tag), spread(chosen.en, tag))
    return say(d, be(d, who, what, tense=d.pick(("present", "present", "imparfait"))))
