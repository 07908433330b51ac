"""What a word of the tables is: its forms, its English and the company it keeps."""

from dataclasses import dataclass

from translator.data.phrasebook.french import Conjugation

#: Group of classes → its members; what is not here is a class of its own.
GROUPS = {
    "human": "person family job",
    "animal": "pet farm wild bird insect fish dog",
    "living": "human animal",
    "eatable": "food fruit vegetable sweet",
    "wearable": "clothes accessory",
    "thing": "furniture kitchenware tool toy device stationery object readable instrument",
    "place": "building room outdoor region",
}


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun in one gender. `fr` may begin with `*`, which refuses elision.

    Attributes:
        lemma: the dictionary form, the same for boulanger and boulangère.
        fr, en: singular and plural; a plural is empty where the noun is not counted, a singular where
            there is only the plural.
        where: French and English preposition of being there, and whether English drops its article.
        frequency: how common it is, from 1 (rare) to 5; each step is twice as often.
        scenes: where it is met: kitchen, station …; none: anywhere.
    """

    lemma: str
    fr: tuple[str, str]
    en: tuple[str, str]
    feminine: bool
    classes: frozenset[str]
    where: tuple[str, str, bool] | None
    frequency: int = 3
    scenes: frozenset[str] = frozenset()

    @property
    def is_human(self) -> bool:
        """Whether it names a person."""
        return not self.classes.isdisjoint(("person", "family", "job"))

    @property
    def counted(self) -> bool:
        """Whether one speaks of several of them."""
        return bool(self.fr[0] and self.fr[1]) and "single" not in self.classes


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective; `forms` are masculine and feminine singular, then plural."""

    lemma: str
    forms: tuple[str, str, str, str]
    before_vowel: str
    before: bool
    en: str
    comparative: str
    superlative: str
    applies: frozenset[str]
    frequency: int = 3

    @property
    def graded(self) -> bool:
        """Whether there is more or less of it."""
        return self.comparative != "-"


@dataclass(frozen=True, slots=True)
class Verb:
    """One meaning of a verb with what may stand around it.

    Attributes:
        en: forms of the first English word: base, third person, past, participle, -ing.
        rest: the English words after it (`for` of look for); `particle` is what an object pronoun
            goes before (`on` of turn on).
        state: whether English tells it in the simple present.
        liking: whether a definite object is meant of all there is of it.
        happens: whether it comes over somebody, so that nobody is told or wants to do it.
        preposition: French one before the object (à, de, …).
        object: classes of the object, or what it is instead: inf, goes, stays, that.
        second: French preposition, classes and English preposition of a second object.
    """

    lemma: str
    reflexive: bool
    forms: Conjugation
    etre: bool
    en: tuple[str, str, str, str, str]
    rest: tuple[str, ...]
    particle: str
    state: bool
    liking: bool
    happens: bool
    subject: frozenset[str]
    preposition: str
    object: frozenset[str]
    second: tuple[str, frozenset[str], str] | None
    where: frozenset[str]
    how: tuple[str, ...]
    frequency: int = 3
    scenes: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The lemma with what tells its meanings apart."""
        return f"{self.lemma}={' '.join((self.en[0], *self.rest, self.particle)).strip()}"

    @property
    def intransitive(self) -> bool:
        """Whether it stands without an object."""
        return not self.object

    @property
    def measures(self) -> bool:
        """Whether its object is how much or how long: coûter, durer, passer une heure."""
        return "time" in self.object or (self.object == {"money"} and "person" not in self.subject)

    @property
    def takes(self) -> bool:
        """Whether it is done to something: direct, not reflexive, and no measure."""
        return self.direct and not self.reflexive and not self.measures

    @property
    def direct(self) -> bool:
        """Whether it has a direct object that is a thing or a being."""
        return bool(self.object) and not self.preposition and self.object.isdisjoint(VERBAL)


#: What stands in a verb's `object` that is no class of nouns.
VERBAL = ("inf", "goes", "stays", "that")


@dataclass(frozen=True, slots=True)
class Entry:
    """A word or expression that does not change: an adverb, a time, a name, a set phrase."""

    fr: str
    en: str
    kind: str
    links: tuple[tuple[int, int], ...] = ()
    gender: str = ""


def leaves(classes: tuple[str, ...] | list[str]) -> frozenset[str]:
    """Return classes with every group replaced by its members."""
    found: list[str] = []
    for name in classes:
        found += leaves(GROUPS[name].split()) if name in GROUPS else [name]
    return frozenset(found)
