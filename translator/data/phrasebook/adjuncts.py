"""Adverbs of manner, places, times and frequencies that make sense with a clause."""

from translator.data.phrasebook.clauses import Clause
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.places import adverb, location, time, word_for_word

#: English verbs with which vite is fast; with others, it is quickly.
_FAST = tuple(
    "run walk drive ride skate ski swim fly climb go move grow talk speak read write type work eat drink "
    "learn breathe".split()
)
#: States that can last for a while, and so be said with a time: he wants to leave now.
_AT_TIMES = ("vouloir", "pouvoir", "devoir", "voir", "entendre", "remarquer")


def adjuncts(d: Draw, clause: Clause, *, chance: float = 0.45) -> None:
    """Add random adverbials to `clause`.

    The probabilities of adverbials of manner, place and time are proportional to `chance`.
    """
    verb = clause.verb
    if verb.how and d.chance(chance / 2):
        how = {entry.fr: entry.en for entry in d.lexicon.adverbs if entry.kind == "manner"}
        chosen = d.pick(verb.how)
        if chosen == "ensemble" and not clause.subject.plural:
            chosen = ""
        if clause.negation and (clause.objects or chosen not in ("bien", "beaucoup", "ensemble")):
            chosen = ""  # not: n'a pas beaucoup déçu d'Italiennes, n'est pas parti vite
        if chosen == "bien" and clause.tense in ("futur", "futur proche", "conditionnel"):
            chosen = ""  # in these tenses, it would mean surely or gladly
        if chosen == "vite" and verb.en[0] not in _FAST:
            how["vite"] = "quickly"
        if chosen in how and clause.negation not in ("rien", "personne", "que", "plus", "jamais"):
            clause.manner = word_for_word(chosen, how[chosen])
            d.build("adverb of manner")
            d.combine(verb.key, chosen)
    if verb.where and not verb.object & {"goes", "stays", "time"} and d.chance(chance):
        clause.tail.append(location(d, goes=False, classes=tuple(sorted(verb.where))))
    if (verb.state and verb.lemma not in _AT_TIMES) or (verb.lemma == "attendre" and verb.intransitive):
        return  # not: he knows Louis this weekend, they're waiting this summer
    if d.chance(chance * 0.8):
        when = {
            "present": ("present", "habit", "habit", "any"),
            "passé composé": ("past", "past", "any"),
            "imparfait": ("past", "habit"),
            "futur": ("future", "future", "any"),
            "futur proche": ("future", "future", "any"),
        }.get(clause.tense)
        if when and clause.negation in ("", "pas"):
            kind = d.pick(when)
            if verb.happens and clause.tense == "present":
                kind = "habit"  # not: she's falling this afternoon
            if clause.tense == "imparfait" and clause.negation:
                kind = "habit"
            if kind == "habit" and verb.lemma in ("venir", "partir"):
                kind = when[0]
            not_at: tuple[str, ...] = ("il y a",) if clause.tense == "imparfait" else ()
            if clause.negation:
                not_at = ("il y a", "l'autre jour", "un jour")
            # What is done a lot, or in a region, can take long, unlike: he's opening the door this year.
            takes_long = "beaucoup" in verb.how or bool(verb.where & {"region", "building"})
            clause.tail.append(time(d, kind, without=not_at, short=not takes_long))
            clause.habit = clause.habit or kind == "habit"
    elif d.chance(0.1) and not clause.negation and clause.tense in ("present", "imparfait"):
        clause.frequency = adverb(d, "frequency")
        d.build("adverb of frequency")
