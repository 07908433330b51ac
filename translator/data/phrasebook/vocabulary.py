"""The words of the tables: their forms, their translations, and the words with which they make sense."""

from dataclasses import dataclass

from translator.data.phrasebook.french import Conjugation

#: For each group of classes, its members, some of which are groups themselves.
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
    """A noun in one gender.

    Attributes:
        lemma: the dictionary form, which is the same for boulanger and boulangère.
        fr, en: the singular and the plural. If the noun has only one of them, the other is empty. A `*` at
            the start of a French form prevents elision.
        classes: the classes to which the noun belongs, such as food.
        where: if the noun is a place, the French and the English preposition for being there (dans, in), and
            whether English omits the article. Otherwise None.
        frequency: from 1 (rare) to 5 (frequent). Each step doubles the probability that the noun is drawn.
        scenes: the scenes to which the noun belongs (kitchen, station …). If there are none, the noun fits
            every scene.
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
        """Whether the noun names a person."""
        return not self.classes.isdisjoint(("person", "family", "job"))

    @property
    def counted(self) -> bool:
        """Whether the noun is countable."""
        return bool(self.fr[0] and self.fr[1]) and "single" not in self.classes


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective.

    Attributes:
        forms: masculine singular, feminine singular, masculine plural, feminine plural.
        before_vowel: the special form of the masculine singular before a vowel (bel), or empty if there is
            none.
        place: `before` or `after` the French noun, or `be`: only after être, because next to a noun, English
            does not have the adjective (pleased), or it means something else (present).
        en: the English adjective.
        applies: classes of the nouns with which the adjective makes sense.
    """

    lemma: str
    forms: tuple[str, str, str, str]
    before_vowel: str
    place: str
    en: str
    applies: frozenset[str]
    frequency: int = 3

    @property
    def before(self) -> bool:
        """Whether the adjective precedes the noun in French."""
        return self.place == "before"


@dataclass(frozen=True, slots=True)
class Verb:
    """One meaning of a verb, with the words that can accompany it.

    Attributes:
        etre: whether the compound tenses are formed with être instead of avoir.
        en: forms of the first English word: base, third person, past, participle, -ing.
        rest: the English words after the first one (`for` in look for).
        particle: the English particle, which follows an object pronoun (`on` in turn it on).
        state: whether English uses a simple tense (he knows) where other verbs have a progressive tense.
        liking: whether a definite object stands for a whole class of things (aimer le chocolat).
        happens: whether the verb describes something that nobody does on purpose. Such a verb has no
            imperative and is not used after want to.
        subject: classes of the nouns that can be the subject.
        preposition: the French preposition before the object (à, de, …), or empty.
        object: classes of the nouns that can be the object, or one of `VERBAL`. It is empty if the verb is
            intransitive.
        second: if the verb has a second object, its French preposition, the classes of its nouns and its
            English preposition; otherwise None.
        where: classes of the places where the action can happen.
        how: French adverbs of manner that make sense with the verb.
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
        """The lemma and its English translation, which together identify the meaning."""
        return f"{self.lemma}={' '.join((self.en[0], *self.rest, self.particle)).strip()}"

    @property
    def intransitive(self) -> bool:
        """Whether the verb has no object."""
        return not self.object

    @property
    def measures(self) -> bool:
        """Whether the object is a price or a duration: coûter, durer, passer une heure."""
        return "time" in self.object or (self.object == {"money"} and "person" not in self.subject)

    @property
    def takes(self) -> bool:
        """Whether the verb is not reflexive and has a direct object other than a price or a duration."""
        return self.direct and not self.reflexive and not self.measures

    @property
    def direct(self) -> bool:
        """Whether the verb has a direct object that is a noun."""
        return bool(self.object) and not self.preposition and self.object.isdisjoint(VERBAL)


#: Members of a verb's `object` that are not classes of nouns. They mean, in this order, that the object is an
#: infinitive, a destination, a place, or a clause with que.
VERBAL = ("inf", "goes", "stays", "that")


@dataclass(frozen=True, slots=True)
class Entry:
    """An invariable word or expression: an adverb, a time or a name.

    `is_long` says whether a time is a period such as a year or a season, and not a moment or a day.
    """

    fr: str
    en: str
    kind: str
    links: tuple[tuple[int, int], ...] = ()
    gender: str = ""
    is_long: bool = False


def leaves(classes: tuple[str, ...] | list[str]) -> frozenset[str]:
    """Return the classes, with every group replaced with the classes that it contains."""
    members: list[str] = []
    for name in classes:
        members += leaves(GROUPS[name].split()) if name in GROUPS else [name]
    return frozenset(members)
