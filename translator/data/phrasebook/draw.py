"""Chance that is the same on every machine, and a note of what a sentence was made of."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from translator.data.phrasebook.lexicon import Lexicon
from translator.data.phrasebook.vocabulary import Adjective, Noun, Verb

T = TypeVar("T")

#: Words refused, as rare or out of place, before one is taken as it comes.
_MOST_REFUSALS = 100
#: How often a word of other scenes is taken, where one of this scene would always be.
_ELSEWHERE = 0.05


class Draw:
    """Draws words from the lexicon for one sentence after another.

    Only `Random.random` is used: Python promises the same numbers from it in every version.

    Attributes:
        constructions: names of what the sentence in hand is built of.
        combinations: pairs of parts that meet in it, such as a verb and its tense; some pairs are kept
            out of training (see `splits`).
        scene: where the sentence in hand takes place.
        calm: whether phrases are kept simple, as mostly, and always where there are several clauses.
        known: whether subjects are named by `le` or `mon` alone, as in questions and negations.
    """

    def __init__(self, lexicon: Lexicon, seed: int, *, floor: int = 0) -> None:
        """Begin to draw; every word is drawn `floor` times before its frequency counts."""
        self.lexicon, self._floor = lexicon, floor
        self._random = random.Random(seed).random
        self.constructions: set[str] = set()
        self.combinations: set[tuple[str, str]] = set()
        self.calm = self.known = False
        self.scene = ""
        self._times = Counter[str]()

    def start(self) -> None:
        """Begin another sentence."""
        self.constructions, self.combinations = set(), set()
        self.calm, self.known = self.chance(0.7), False
        self.scene = self.pick(self.lexicon.scenes)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of some items; of words the commoner, and those of the scene, more often."""
        for _ in range(_MOST_REFUSALS):
            item = items[int(self._random() * len(items))]
            if not isinstance(item, Noun | Verb | Adjective) or self._random() < self._weight(item):
                break
        if isinstance(item, Noun | Verb | Adjective):
            self._times[item.lemma] += 1
        return item

    def _weight(self, word: Noun | Verb | Adjective) -> float:
        """How readily a word is taken: by its frequency, once it has been drawn as often as any must be."""
        scenes = frozenset[str]() if isinstance(word, Adjective) else word.scenes
        is_elsewhere = bool(scenes) and self.scene not in scenes
        common = 2.0 ** (word.frequency - 5) if self._times[word.lemma] >= self._floor else 1.0
        return common * (_ELSEWHERE if is_elsewhere else 1)

    def chance(self, probability: float) -> bool:
        """Return true as often as asked."""
        return self._random() < probability

    def below(self, low: int, high: int) -> int:
        """Return a whole number from `low` to below `high`."""
        return low + int(self._random() * (high - low))

    def noun(self, *classes: str) -> Noun:
        """Return a noun of one of some classes or groups."""
        return self.pick(self.lexicon.of(*classes))

    def build(self, *constructions: str) -> None:
        """Note what the sentence is built of."""
        self.constructions.update(constructions)

    def combine(self, one: str, other: str) -> None:
        """Note two parts that meet in the sentence."""
        self.combinations.add((one, other))
