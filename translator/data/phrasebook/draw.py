"""Random choices, which are the same on every machine, and a record of the parts of each sentence."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from translator.data.phrasebook.lexicon import Lexicon
from translator.data.phrasebook.vocabulary import Adjective, Noun, Verb

T = TypeVar("T")

#: Maximum number of attempts to draw one word. An attempt may be rejected because its word is rare or belongs
#: to another scene. If all attempts are rejected, the word of the last attempt is used.
_MAX_REJECTIONS = 100
#: The probability of a word is multiplied by this factor if the word belongs only to scenes other than the
#: current one.
_ELSEWHERE = 0.05


class Draw:
    """Draws random words from the lexicon for one sentence after another.

    The class uses only `Random.random`, whose sequence is guaranteed to be the same in every version of
    Python.

    Attributes:
        lexicon: the words of the tables.
        constructions: names of the constructions in the current sentence.
        combinations: pairs of parts in the current sentence, such as a verb and its tense. Some pairs are
            kept out of the training split (see `splits`).
        scene: the place or situation of the current sentence, such as kitchen.
        calm: whether phrases are kept simple, with fewer adjectives, fewer quantities and more pronouns.
            `start` sets it to true for most sentences, and some constructions, such as a condition, always
            set it to true.
        known: whether indefinite subjects (un garçon, chaque garçon, quelqu'un) are excluded, as they are in
            questions and negations.
    """

    def __init__(self, lexicon: Lexicon, seed: int, *, floor: int = 0) -> None:
        """Seed the generator.

        The frequency of a word is ignored until the word has been drawn `floor` times, so that rare words
        are drawn too.
        """
        self.lexicon, self._floor = lexicon, floor
        self._random = random.Random(seed).random
        self.constructions: set[str] = set()
        self.combinations: set[tuple[str, str]] = set()
        self.calm = self.known = False
        self.scene = ""
        self._times = Counter[str]()

    def start(self) -> None:
        """Start a new sentence: clear the records of the previous one, and draw `calm` and the scene."""
        self.constructions, self.combinations = set(), set()
        self.calm, self.known = self.chance(0.7), False
        self.scene = self.pick(self.lexicon.scenes)

    def pick(self, items: Sequence[T]) -> T:
        """Return a random item. If the items are words, frequent ones that fit the scene are more likely."""
        for _ in range(_MAX_REJECTIONS):
            item = items[int(self._random() * len(items))]
            if not isinstance(item, Noun | Verb | Adjective) or self._random() < self._weight(item):
                break
        if isinstance(item, Noun | Verb | Adjective):
            self._times[item.lemma] += 1
        return item

    def _weight(self, word: Noun | Verb | Adjective) -> float:
        """Return the probability that `pick` accepts a word that it has chosen."""
        scenes = frozenset[str]() if isinstance(word, Adjective) else word.scenes
        is_elsewhere = bool(scenes) and self.scene not in scenes
        common = 2.0 ** (word.frequency - 5) if self._times[word.lemma] >= self._floor else 1.0
        return common * (_ELSEWHERE if is_elsewhere else 1)

    def chance(self, probability: float) -> bool:
        """Return true with the given probability."""
        return self._random() < probability

    def below(self, low: int, high: int) -> int:
        """Return a random integer from `low` to `high - 1`."""
        return low + int(self._random() * (high - low))

    def noun(self, *classes: str) -> Noun:
        """Return a random noun that belongs to one of the given classes or groups of classes."""
        return self.pick(self.lexicon.of(*classes))

    def build(self, *constructions: str) -> None:
        """Record that the current sentence contains these constructions."""
        self.constructions.update(constructions)

    def combine(self, one: str, other: str) -> None:
        """Record that the current sentence combines these two parts."""
        self.combinations.add((one, other))
