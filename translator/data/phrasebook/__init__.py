"""A small French-English corpus that is generated on the spot and needs no network.

A typed grammar draws sentences over a small lexicon; both languages are built from the same draw.
French is first written without elision or contraction ("je ai", "à le") and then polished.
"""

import functools
import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

LANGUAGES = ("fr", "en")
SPLITS = ("train", "val", "test")

_HELD_OUT = 300  # sentences in each of "val" and "test"
_T = TypeVar("_T")
_Pair = tuple[str, str]


class _Noun(NamedTuple):
    kind: str
    gender: str
    fr: tuple[str, str]  # singular, plural
    en: tuple[str, str]


class _Adjective(NamedTuple):
    fr: tuple[str, ...]  # m. singular, f. singular, m. plural, f. plural, m. before a vowel
    en: str
    position: str  # "before" or "after" the noun, or only as "predicate"
    kinds: tuple[str, ...]


class _Verb(NamedTuple):
    fr: tuple[str, ...]  # infinitive, present (je, tu, il, nous, vous, ils), participle
    en: tuple[str, ...]  # base, past, and "-ing" or third person, as the present is said
    kinds: tuple[str, ...]  # of the object
    determiners: tuple[str, ...]  # of the object
    link: _Pair = ("", "")  # what stands between the verb and its object


class _Phrase(NamedTuple):
    """A noun phrase or pronoun; the `negated` forms follow "pas" and "not"."""

    fr: str
    en: str
    person: int  # index into a verb's present
    gender: str
    negated_fr: str = ""
    negated_en: str = ""
    noun: _Noun | None = None

    @property
    def be(self) -> str:
        return "am" if self.en == "I" else "is" if self.person == 2 else "are"


def _nouns(kind: str, entries: str) -> list[_Noun]:
    """Read "gender:fr:en" entries; irregular plurals follow a slash, others add an s."""
    nouns = []
    for entry in entries.split():
        gender, *languages = entry.split(":")
        forms = [word.split("/") for word in languages]
        fr, en = ((form[0], form[1] if len(form) > 1 else form[0] + "s") for form in forms)
        nouns.append(_Noun(kind, gender, fr, en))
    return nouns


_NOUNS = (
    *_nouns("person", "m:garçon:boy f:fille:girl m:homme:man/men f:femme:woman/women"),
    *_nouns("person", "m:enfant:child/children m:médecin:doctor"),
    *_nouns("relation", "m:voisin:neighbour f:voisine:neighbour m:professeur:teacher"),
    *_nouns("relation", "m:ami:friend f:amie:friend"),
    *_nouns("pet", "m:chat:cat m:chien:dog f:souris/souris:mouse/mice m:oiseau/oiseaux:bird"),
    *_nouns("pet", "m:hibou/hiboux:owl"),
    *_nouns("farm", "m:cheval/chevaux:horse f:vache:cow m:mouton:sheep/sheep"),
    *_nouns("food", "f:pomme:apple m:gâteau/gâteaux:cake f:orange:orange m:œuf:egg f:poire:pear"),
    *_nouns("mass", "m:pain:bread m:fromage:cheese f:soupe:soup f:viande:meat"),
    *_nouns("drink", "f:eau:water m:lait:milk m:café:coffee"),
    *_nouns("thing", "m:livre:book f:clé:key m:chapeau/chapeaux:hat f:assiette:plate"),
    *_nouns("thing", "f:horloge:clock m:sac:bag m:parapluie:umbrella"),
    *_nouns("furniture", "f:table:table f:chaise:chair m:lit:bed f:armoire:wardrobe"),
    *_nouns("vehicle", "m:vélo:bike f:voiture:car"),
    *_nouns("place", "f:école:school f:gare:station m:marché:market m:musée:museum"),
    *_nouns("place", "m:restaurant:restaurant m:hôtel:hotel m:parc:park m:cinéma:cinema"),
    *_nouns("place", "f:bibliothèque:library/libraries f:boulangerie:bakery/bakeries"),
)
_PEOPLE = ("person", "relation")
_ANIMALS = ("pet", "farm")
_GOODS = ("thing", "furniture", "vehicle")
_UNCOUNTABLE = ("mass", "drink")
_COUNTABLE = (*_PEOPLE, *_ANIMALS, "food", *_GOODS, "place")


def _adjective(fr: str, en: str, position: str, *kinds: str) -> _Adjective:
    return _Adjective(tuple(fr.split()), en, position, kinds)


_BUILT = (*_GOODS, "place")
_ADJECTIVES = (
    _adjective("petit petite petits petites", "small", "before", *_ANIMALS, "food", *_BUILT),
    _adjective("gros grosse gros grosses", "big", "before", *_ANIMALS, "food"),
    _adjective("grand grande grands grandes", "big", "before", *_BUILT),
    _adjective("beau belle beaux belles bel", "beautiful", "before", *_ANIMALS, *_BUILT),
    _adjective("vieux vieille vieux vieilles vieil", "old", "before", *_ANIMALS, *_BUILT),
    _adjective("nouveau nouvelle nouveaux nouvelles nouvel", "new", "before", *_BUILT),
    _adjective("bon bonne bons bonnes", "good", "before", "food"),
    _adjective("rouge rouge rouges rouges", "red", "after", *_GOODS),
    _adjective("bleu bleue bleus bleues", "blue", "after", *_GOODS),
    _adjective("vert verte verts vertes", "green", "after", *_GOODS),
    _adjective("noir noire noirs noires", "black", "after", *_GOODS, *_ANIMALS),
    _adjective("blanc blanche blancs blanches", "white", "after", *_GOODS, *_ANIMALS),
    _adjective("gris grise gris grises", "grey", "after", *_GOODS, "pet"),
    _adjective("cher chère chers chères", "expensive", "predicate", *_GOODS, "food"),
    _adjective("sale sale sales sales", "dirty", "predicate", *_GOODS, *_ANIMALS),
    _adjective("content contente contents contentes", "happy", "predicate", *_PEOPLE, "pet"),
    _adjective("fatigué fatiguée fatigués fatiguées", "tired", "predicate", *_PEOPLE, *_ANIMALS),
    _adjective("malade malade malades malades", "ill", "predicate", *_PEOPLE, *_ANIMALS),
    _adjective("gentil gentille gentils gentilles", "kind", "predicate", *_PEOPLE),
)
_DETERMINERS = {  # French m. singular, f. singular, plural; English singular, plural
    "definite": ("le", "la", "les", "the", "the"),
    "indefinite": ("un", "une", "des", "a", "some"),
    "this": ("ce", "cette", "ces", "this", "these"),
    "my": ("mon", "ma", "mes", "my", "my"),
    "our": ("notre", "notre", "nos", "our", "our"),
    "partitive": ("de le", "de la", "", "some", ""),
    "generic": ("le", "la", "", "", ""),
}
_OWNED = ("my", "our")
_POINTED = ("definite", "this")
_ANY = ("definite", "indefinite", "this", "my", "our", "partitive")

_OBJECTS = {  # kinds and determiners
    "voir": (_COUNTABLE, _ANY),
    "chercher": (_COUNTABLE, _ANY),
    "prendre": (("thing", "vehicle", "food"), (*_POINTED, *_OWNED)),
    "acheter": (("food", *_GOODS, "mass", "drink"), (*_POINTED, "indefinite", "partitive")),
    "vendre": (("food", *_GOODS, "farm", "mass"), _ANY),
    "manger": (("food", "mass"), _ANY),
    "boire": (("drink",), ("partitive",)),
    "aimer": (("pet", "food", *_UNCOUNTABLE, *_GOODS), ("this", *_OWNED, "generic")),
    "attendre": (_PEOPLE, ("definite", *_OWNED)),
    "aller": (("place",), ("definite",)),
}
_LINKS = {"aller": ("à", "to"), "chercher": ("", "for"), "attendre": ("", "for")}
_VERB_TABLE = """
voir vois vois voit voyons voyez voient vu | see saw sees
chercher cherche cherches cherche cherchons cherchez cherchent cherché | look looked looking
prendre prends prends prend prenons prenez prennent pris | take took taking
acheter achète achètes achète achetons achetez achètent acheté | buy bought buying
vendre vends vends vend vendons vendez vendent vendu | sell sold selling
manger mange manges mange mangeons mangez mangent mangé | eat ate eating
boire bois bois boit buvons buvez boivent bu | drink drank drinking
aimer aime aimes aime aimons aimez aiment aimé | like liked likes
attendre attends attends attend attendons attendez attendent attendu | wait waited waiting
aller vais vas va allons allez vont allé | go went going
"""


def _verbs(table: str) -> Iterator[_Verb]:
    for line in table.strip().splitlines():
        fr, en = (tuple(forms.split()) for forms in line.split("|"))
        yield _Verb(fr, en, *_OBJECTS[fr[0]], _LINKS.get(fr[0], ("", "")))


_VERBS = tuple(_verbs(_VERB_TABLE))
_PET_VERBS = ("voir", "manger")  # what a cat does as well
_AVOIR = ("ai", "as", "a", "avons", "avez", "ont")
_ETRE = ("suis", "es", "est", "sommes", "êtes", "sont")
_ALLER = ("vais", "vas", "va", "allons", "allez", "vont")
_NOT = {"am": "am not"} | {verb: verb + "n't" for verb in ("is", "are", "do", "does", "did")}
_PRONOUNS = (
    *(_Phrase("je", "I", 0, gender) for gender in "mf"),
    *(_Phrase("tu", "you", 1, gender) for gender in "mf"),
    *(_Phrase("nous", "we", 3, gender) for gender in "mf"),
    *(_Phrase("vous", "you", 4, gender) for gender in "mf"),
    *(_Phrase("il", "he", 2, "m"), _Phrase("elle", "she", 2, "f")),
    *(_Phrase("ils", "they", 5, "m"), _Phrase("elles", "they", 5, "f")),
)
_NAMES = (
    *(_Phrase(name, name, 2, "f") for name in ("Marie", "Anne")),
    *(_Phrase(name, name, 2, "m") for name in ("Paul", "Lucas")),
)
_MODES = ("plain", "plain", "negative", "question")
_NUMBERS = (
    *(("deux", "two"), ("trois", "three"), ("quatre", "four"), ("cinq", "five"), ("six", "six")),
    *(("sept", "seven"), ("huit", "eight"), ("neuf", "nine"), ("dix", "ten"), ("onze", "eleven")),
)
_TIMES = (
    *(("", "{} o'clock"), (" et demie", "half past {}")),
    *((" et quart", "a quarter past {}"), (" moins le quart", "a quarter to {}")),
)
_ON = (("sur", "on"), ("sous", "under"), ("à côté de", "next to"))
_NEAR = (("devant", "in front of"), ("derrière", "behind"), ("près de", "near"))
_GREETINGS = (
    *(("bonjour", "hello"), ("bonsoir", "good evening"), ("bonne nuit", "good night")),
    *(("au revoir", "goodbye"), ("à demain", "see you tomorrow"), ("merci", "thank you")),
)

_VOWEL = "(?=[aeiouâéêîôœh])(?!hibou)"  # the h is silent but in "hibou"
_BEFORE_VOWEL = {"ma": "mon "} | {
    word: word[:-1] + "'" for word in ("le", "la", "je", "ne", "de", "que", "ce")
}
_ELISION = re.compile(rf"\b({'|'.join(_BEFORE_VOWEL)}) {_VOWEL}", re.IGNORECASE)


def _finish(fr: str, en: str, mark: str = ".") -> _Pair:
    """Return the two sentences with elision, contraction, a capital and the closing mark."""
    fr = _ELISION.sub(lambda match: _BEFORE_VOWEL[match[1]], fr)
    for plain, contracted in (("à le", "au"), ("à les", "aux"), ("de le", "du"), ("de les", "des")):
        fr = fr.replace(f" {plain} ", f" {contracted} ")
    closing = mark if mark == "." else " " + mark
    return fr[0].upper() + fr[1:] + closing, en[0].upper() + en[1:] + mark


def _pick(rng: random.Random, items: Sequence[_T]) -> _T:
    return items[int(rng.random() * len(items))]


def _starts_with_vowel(word: str) -> bool:
    return re.match(_VOWEL, word) is not None


def _agree(adjective: _Adjective, gender: str, plural: bool) -> str:
    return adjective.fr[(gender == "f") + 2 * plural]


def _with_adjective(rng: random.Random, noun: _Noun, plural: bool, plain: bool) -> tuple[str, str, bool]:
    """Return the noun, at times with an adjective unless plain, and whether that comes first."""
    fr, en = noun.fr[plural], noun.en[plural]
    choices = [a for a in _ADJECTIVES if noun.kind in a.kinds and a.position != "predicate"]
    if plain or not choices or rng.random() < 0.5:
        return fr, en, False
    adjective = _pick(rng, choices)
    word = _agree(adjective, noun.gender, plural)
    if adjective.position == "after":
        return f"{fr} {word}", f"{adjective.en} {en}", False
    if len(adjective.fr) > 4 and noun.gender == "m" and not plural and _starts_with_vowel(fr):
        word = adjective.fr[4]
    return f"{word} {fr}", f"{adjective.en} {en}", True


def _suitable(noun: _Noun) -> tuple[str, ...]:
    """Return the determiners that make sense with the noun, the most usual first."""
    if noun.kind in _UNCOUNTABLE:
        return ("partitive", "generic")
    if noun.kind == "relation":
        return ("indefinite", *_OWNED)
    return (*_POINTED, "indefinite", *(_OWNED if noun.kind in ("pet", *_GOODS) else ()))


def _noun_phrase(
    rng: random.Random,
    kinds: Sequence[str],
    determiners: Sequence[str],
    plain: bool = False,
    singular: bool = False,
) -> _Phrase:
    """Return a noun of one of the kinds under one of the determiners, where one suits it."""
    noun = _pick(rng, [noun for noun in _NOUNS if noun.kind in kinds])
    suitable = _suitable(noun)
    name = _pick(rng, [name for name in determiners if name in suitable] or suitable[:1])
    singular = singular or noun.kind in (*_UNCOUNTABLE, "place")
    plural = not singular and rng.random() < 0.3
    fr, en, adjective_first = _with_adjective(rng, noun, plural, plain)
    masculine, feminine, plural_fr, singular_en, plural_en = _DETERMINERS[name]
    article = plural_fr if plural else masculine if noun.gender == "m" else feminine
    if article == "ce" and _starts_with_vowel(fr):
        article = "cet"
    if article == "des" and adjective_first:
        article = "de"
    article_en = plural_en if plural else singular_en
    if article_en == "a" and en[0] in "aeiou":
        article_en = "an"
    person = 5 if plural else 2
    french, english = f"{article} {fr}", f"{article_en} {en}".strip()
    negated_fr = f"de {fr}" if name in ("indefinite", "partitive") else french
    negated_en = re.sub("^some ", "any ", english)
    return _Phrase(french, english, person, noun.gender, negated_fr, negated_en, noun)


def _subject(rng: random.Random, kinds: Sequence[str]) -> _Phrase:
    if rng.random() < 0.55:
        return _pick(rng, _PRONOUNS + _NAMES)
    return _noun_phrase(rng, kinds, ("definite", *_OWNED))


def _mode(rng: random.Random, subject: _Phrase) -> str:
    """Return "plain", "negative" or, unless people would ask it of themselves, "question"."""
    return _pick(rng, _MODES[:3] if subject.fr == "je" else _MODES)


def _clause_fr(subject: _Phrase, verb: _Verb, tense: str, negative: bool) -> str:
    """Return subject and verb before polishing: "je ne ai pas mangé"."""
    conjugated, rest = verb.fr[1 + subject.person], ""
    if tense == "future":
        conjugated, rest = _ALLER[subject.person], verb.fr[0]
    elif tense == "past":
        conjugated, rest = _AVOIR[subject.person], verb.fr[-1]
        if verb.fr[0] == "aller":
            conjugated = _ETRE[subject.person]
            rest += ("e" if subject.gender == "f" else "") + ("s" if subject.person > 2 else "")
    middle = f"ne {conjugated} pas" if negative else conjugated
    return f"{subject.fr} {middle} {rest}".strip()


def _clause_en(subject: _Phrase, verb: _Verb, tense: str, mode: str) -> str:
    """Return subject and verb: "I am not going", "did she eat"."""
    base, past, present = verb.en
    if tense == "past":
        auxiliary, rest, simple = "did", base, past
    elif tense == "present" and not present.endswith("ing"):
        auxiliary, simple = ("does", present) if subject.be == "is" else ("do", base)
        rest = base
    else:
        auxiliary, rest = subject.be, present if tense == "present" else f"going to {base}"
        simple = f"{auxiliary} {rest}"
    if mode == "question":
        return f"{auxiliary} {subject.en} {rest}"
    if mode == "negative":
        return f"{subject.en} {_NOT[auxiliary]} {rest}"
    return f"{subject.en} {simple}"


def _tenses(verb: _Verb, target: _Phrase) -> tuple[str, ...]:
    if verb.fr[0] == "aimer" and target.noun and target.noun.kind in _UNCOUNTABLE:
        return ("present",)  # "j'ai aimé le pain" is about one bread, not about bread
    if verb.fr[0] == "chercher":
        return ("present", "past")  # "je vais chercher" also means "I am going to fetch"
    return ("present", "past", "future")


def _action(rng: random.Random) -> _Pair:
    """Je n'ai pas acheté la pomme. Est-ce qu'elle va aller au marché ?"""
    verb = _pick(rng, _VERBS)
    subject = _subject(rng, (*_PEOPLE, "pet") if verb.fr[0] in _PET_VERBS else _PEOPLE)
    target = _noun_phrase(rng, verb.kinds, verb.determiners)
    while target.noun == subject.noun:
        target = _noun_phrase(rng, verb.kinds, verb.determiners)
    tense = _pick(rng, _tenses(verb, target))
    mode = _mode(rng, subject)
    negative = mode == "negative"
    target_fr = target.negated_fr if negative else target.fr
    target_en = target.negated_en if negative else target.en
    link_fr, link_en = (f" {word} " if word else " " for word in verb.link)
    fr = _clause_fr(subject, verb, tense, negative) + link_fr + target_fr
    en = _clause_en(subject, verb, tense, mode) + link_en + target_en
    return _finish(f"est-ce que {fr}", en, "?") if mode == "question" else _finish(fr, en)


def _being(rng: random.Random, subject: _Phrase, fr: str, en: str) -> _Pair:
    """State, deny or ask that the subject is so."""
    verb = _ETRE[subject.person]
    mode = _mode(rng, subject)
    if mode == "negative":
        return _finish(f"{subject.fr} ne {verb} pas {fr}", f"{subject.en} {_NOT[subject.be]} {en}")
    if mode == "question":
        question = f"est-ce que {subject.fr} {verb} {fr}"
        return _finish(question, f"{subject.be} {subject.en} {en}", "?")
    return _finish(f"{subject.fr} {verb} {fr}", f"{subject.en} {subject.be} {en}")


def _description(rng: random.Random) -> _Pair:
    """La fille est contente. Est-ce que cette voiture est chère ?"""
    adjective = _pick(rng, [a for a in _ADJECTIVES if a.en != "new"])
    subject = _noun_phrase(rng, adjective.kinds, (*_POINTED, *_OWNED), plain=True)
    if "person" in adjective.kinds and rng.random() < 0.4:
        subject = _pick(rng, _PRONOUNS + _NAMES)
    word = _agree(adjective, subject.gender, subject.person > 2)
    return _being(rng, subject, word, adjective.en)


def _place(rng: random.Random, determiners: Sequence[str]) -> tuple[_Phrase, str, str]:
    """Return something and where it is."""
    indoors = rng.random() < 0.5
    kinds = ("pet", "thing", "food") if indoors else (*_PEOPLE, *_ANIMALS, "vehicle")
    grounds = ("furniture",) if indoors else ("place",)
    ground = _noun_phrase(rng, grounds, ("definite",), singular=True)
    fr, en = _pick(rng, _ON if indoors else _NEAR)
    return _noun_phrase(rng, kinds, determiners), f"{fr} {ground.fr}", f"{en} {ground.en}"


def _location(rng: random.Random) -> _Pair:
    """Le chat est sous la table. Où est mon livre ?"""
    subject, fr, en = _place(rng, ("definite", *_OWNED))
    if rng.random() < 0.2:
        verb = _ETRE[subject.person]
        return _finish(f"où {verb} {subject.fr}", f"where {subject.be} {subject.en}", "?")
    return _being(rng, subject, fr, en)


def _existence(rng: random.Random) -> _Pair:
    """Il y a deux pommes sur la table. Il n'y a pas de chat devant la gare."""
    thing, fr, en = _place(rng, ("indefinite",))
    mode = _pick(rng, ("plain", "number", "negative", "question"))
    if mode == "negative":
        there = f"there {_NOT[thing.be]} {thing.negated_en}"
        return _finish(f"il n'y a pas {thing.negated_fr} {fr}", f"{there} {en}")
    if mode == "question":
        there = f"{thing.be} there {thing.negated_en}"
        return _finish(f"est-ce que il y a {thing.fr} {fr}", f"{there} {en}", "?")
    if mode == "number" and thing.person == 5:
        number_fr, number_en = _pick(rng, _NUMBERS[:5])
        many_fr = re.sub("^des? ", number_fr + " ", thing.fr)
        many_en = re.sub("^some ", number_en + " ", thing.en)
        return _finish(f"il y a {many_fr} {fr}", f"there are {many_en} {en}")
    return _finish(f"il y a {thing.fr} {fr}", f"there {thing.be} {thing.en} {en}")


def _identity(rng: random.Random) -> _Pair:
    """C'est un vieil hôtel. Ce ne sont pas mes clés."""
    thing = _noun_phrase(rng, (*_ANIMALS, "food", *_BUILT), ("indefinite", *_OWNED))
    subject = _Phrase("ce", "they" if thing.person == 5 else "it", thing.person, thing.gender)
    return _being(rng, subject, thing.fr, thing.en.removeprefix("some "))


def _shopping(rng: random.Random) -> _Pair:
    """Combien coûte ce livre ? Les pommes coûtent deux euros. Je voudrais du pain..."""
    if rng.random() < 0.4:
        wish = _noun_phrase(rng, ("food", "thing", "mass", "drink"), ("indefinite", "partitive"))
        fr, en = _pick(rng, (("je voudrais", "I would like"), ("nous voudrions", "we would like")))
        return _finish(f"{fr} {wish.fr}, s'il vous plaît", f"{en} {wish.en}, please")
    thing = _noun_phrase(rng, ("food", "thing"), _POINTED)
    many = thing.person == 5
    if rng.random() < 0.4:
        verb, auxiliary = ("coûtent", "do") if many else ("coûte", "does")
        return _finish(f"combien {verb} {thing.fr}", f"how much {auxiliary} {thing.en} cost", "?")
    fr, en = _pick(rng, _NUMBERS)
    verb, verb_en = ("coûtent", "cost") if many else ("coûte", "costs")
    return _finish(f"{thing.fr} {verb} {fr} euros", f"{thing.en} {verb_en} {en} euros")


def _time(rng: random.Random) -> _Pair:
    """Il est trois heures et demie. Le musée ouvre à neuf heures."""
    hour, hour_en = _pick(rng, _NUMBERS)
    if rng.random() < 0.2:
        fr, en = _pick(rng, _TIMES)
        return _finish(f"il est {hour} heures{fr}", "it is " + en.format(hour_en))
    place = _noun_phrase(rng, ("place",), ("definite",))
    verb, verb_en = _pick(rng, (("ouvre", "open"), ("ferme", "close")))
    if rng.random() < 0.3:
        question = f"what time does {place.en} {verb_en}"
        return _finish(f"à quelle heure {verb} {place.fr}", question, "?")
    english = f"{place.en} {verb_en}s at {hour_en} o'clock"
    return _finish(f"{place.fr} {verb} à {hour} heures", english)


def _greeting(rng: random.Random) -> _Pair:
    """Bonjour, Marie !"""
    name = _pick(rng, _NAMES)
    if rng.random() < 0.2:
        return _finish(f"comment vas-tu, {name.fr}", f"how are you, {name.en}", "?")
    fr, en = _pick(rng, _GREETINGS)
    return _finish(f"{fr}, {name.fr}", f"{en}, {name.en}", "!")


_TEMPLATES: tuple[tuple[Callable[[random.Random], _Pair], int], ...] = (
    (_action, 4200),
    (_description, 1400),
    (_location, 1200),
    (_existence, 1000),
    (_identity, 1000),
    (_shopping, 900),
    (_time, 500),
    (_greeting, 60),
)


def _drawn() -> Iterator[_Pair]:
    """Yield every drawn pair, repetitions included."""
    rng = random.Random(2024)
    for template, draws in _TEMPLATES:
        for _ in range(draws):
            yield template(rng)


def _digest(pair: _Pair) -> bytes:
    return hashlib.blake2b(pair[0].encode(), digest_size=16).digest()


@functools.cache
def _corpus() -> dict[str, list[_Pair]]:
    ordered = sorted(dict(_drawn()).items(), key=_digest)
    return {
        "train": ordered[2 * _HELD_OUT :],
        "val": ordered[_HELD_OUT : 2 * _HELD_OUT],
        "test": ordered[:_HELD_OUT],
    }


def pairs(split: str) -> Iterator[dict[str, str]]:
    """Return the sentence pairs of one split, in an order that is the same on every machine.

    Args:
        split: One of `SPLITS`.

    Returns:
        An iterator over new `{"fr": ..., "en": ...}` dictionaries. Each French sentence occurs
        once in all the splits together.

    Raises:
        ValueError: If there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    return ({"fr": fr, "en": en} for fr, en in _corpus()[split])
