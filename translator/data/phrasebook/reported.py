"""What one asks, wonders and tells others to do: je ne sais pas où il est; elle m'a dit de venir."""

from translator.data.phrasebook import beings, parts, places
from translator.data.phrasebook.clauses import Clause, realise
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.phrases import Phrase, Word, new_tag, pattern
from translator.data.phrasebook.statements import clause, leading, say, verbs

_LEADS = (
    ("je_a ne_n sais_b pas_n", "I_a do_b not_n know_b", "."),
    ("nous_a ne_n savons_b pas_n", "we_a do_b not_n know_b", "."),
    ("elle_a ne_n sait_b pas_n", "she_a does_b not_n know_b", "."),
    ("il_a ne_n savait_b pas_n", "he_a did_b not_n know_b", "."),
    ("est_q -ce_q que_q tu_a sais_b", "do_qb you_a know_b", "?"),
    ("sais_b -tu_a", "do_b you_a know_b", "?"),
    ("savez_b -vous_a", "do_b you_a know_b", "?"),
    ("je_a me_b demande_b", "I_a wonder_b", "."),
    ("dis_b -moi_a", "tell_b me_a", "!"),
    ("dites_b -nous_a", "tell_b us_a", "!"),
)
_ASKED = (
    ("où", "where"),
    ("quand", "when"),
    ("pourquoi", "why"),
    ("comment", "how"),
    ("si", "if"),
    ("si", "if"),
)


def wondered(d: Draw) -> Phrase:
    """Je ne sais pas où elle habite; sais-tu ce qu'il veut ?"""
    d.build("indirect question")
    d.calm = True
    fr, en, mark = d.pick(_LEADS)
    past = "savait" in fr
    tense = d.pick(("imparfait", "plus-que-parfait") if past else ("present", "passé composé", "futur"))
    if d.chance(0.25):
        verb = d.pick(leading(d, lambda v: not (v.liking or v.object & beings.LIVING)))
        told = realise(clause(d, verb=verb, but="direct", tense=tense, simple=True), d.lexicon.conjugations)
        return pattern(f"{fr} ce_z que_z {{0}} {mark}", f"{en} what_z {{0}} {mark}", told)
    word, english = d.pick(_ASKED)
    wanted = verbs(d, lambda v: bool(v.object & {"goes", "stays"} or v.where) and "inf" not in v.object)
    verb = d.pick(wanted if word == "où" else verbs(d, lambda v: not v.state))
    but = "direct" if word == "où" and verb.object & {"goes", "stays"} else ""
    told = realise(clause(d, verb=verb, but=but, tense=tense, simple=True), d.lexicon.conjugations)
    return pattern(f"{fr} {word}_z {{0}} {mark}", f"{en} {english}_z {{0}} {mark}", told)


#: French verb, its English, whether the person is a direct object, and what leads the infinitive.
_TELLING = (
    ("dire", ("tell", "tells", "told", "told", "telling"), False, "de"),
    ("demander", ("ask", "asks", "asked", "asked", "asking"), False, "de"),
    ("permettre", ("allow", "allows", "allowed", "allowed", "allowing"), False, "de"),
    ("aider", ("help", "helps", "helped", "helped", "helping"), True, "à"),
    ("inviter", ("invite", "invites", "invited", "invited", "inviting"), True, "à"),
    ("encourager", ("encourage", "encourages", "encouraged", "encouraged", "encouraging"), True, "à"),
)


def told_to(d: Draw) -> Phrase:
    """Elle m'a demandé de venir; Paul aide sa mère à cuisiner."""
    d.build("verb with a person and an infinitive")
    d.calm = True
    french, english, direct, lead = d.pick(_TELLING)
    verb = d.lexicon.plain(french, *english, done_to=("human",))
    who = beings.subject(d, verb)
    tense = d.pick(("present", "passé composé", "passé composé", "futur", "plus-que-parfait"))
    d.build(tense)
    drawn = Clause(who, verb, tense, "pas" if d.chance(0.12) else "")
    if d.chance(0.7):
        pronoun = parts.direct_pronoun(d, verb, who) if direct else parts.indirect_pronoun(d, who, "")
        drawn.pronouns = [pronoun]
    else:
        name = places.first_name(d)
        tag = new_tag()
        drawn.objects = [name if direct else Phrase([Word("à", (tag,)), *name.fr], name.en)]
    someone = beings.pronoun(d, only=("il",))
    action = d.pick([v for v in parts.doings(d) if not v.reflexive and "inf" not in v.object])
    what = parts.infinitive(d, action, someone)
    own = new_tag()
    drawn.objects.append(Phrase([Word(lead, (own,)), *what.fr], [Word("to", (own,)), *what.en]))
    return say(d, drawn)
