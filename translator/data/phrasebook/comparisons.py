"""Comparing how things are done, and naming what one has or means: mieux que moi, la mienne, celui-ci."""

from translator.data.phrasebook import parts, places
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.nouns import noun_phrase
from translator.data.phrasebook.phrases import Phrase, Word, new_tag, pattern, spread
from translator.data.phrasebook.sentences import be, it_is
from translator.data.phrasebook.statements import TENSES, clause, leading, say, verbs

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
_STRONG = (("moi", "me"), ("toi", "you"), ("lui", "him"), ("elle", "her"), ("nous", "us"), ("eux", "them"))
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
    verb = d.pick(verbs(d, lambda v: bool(v.how) and bool(v.subject & parts.HUMAN) and v.intransitive))
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
    own, owner = _MINE[place], parts.any_owner(d)
    while owner[0] == place:
        owner = parts.any_owner(d)
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
    verb = d.pick(leading(d, lambda v: not (v.second or v.object & parts.LIVING)))
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
