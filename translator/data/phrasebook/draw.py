"""Random choices that are the same on every machine, with a record of the parts of each sentence."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from translator.data.phrasebook.lexicon import Lexicon
from translator.data.phrasebook.vocabulary import Adjective, Noun, Verb

T = TypeVar("T")

#: Maximum number of words rejected as rare or as belonging to another scene.
_MAX_REJECTIONS = 100
#: Relative frequency of words that belong to other scenes.
_ELSEWHERE = 0.05


class Draw:
    """Draws random words from the lexicon for one sentence after another.

    It uses only `Random.random`, whose sequence is guaranteed to be the same in every version of Python.

    Attributes:
        constructions: names of the constructions in the current sentence.
        combinations: pairs of parts in the current sentence, such as a verb and its tense; some are kept out
            of training (see `splits`).
        scene: where the current sentence takes place.
        calm: whether phrases are kept simple: usually, and always in sentences of several clauses.
        known: whether subjects only have a definite or possessive article, as in questions and negations.
    """

    def __init__(self, lexicon: Lexicon, seed: int, *, floor: int = 0) -> None:
        """Seed the generator. The frequency of a word is ignored until it has been drawn `floor` times."""
        self.lexicon, self._floor = lexicon, floor
        self._random = random.Random(seed).random
        self.constructions: set[str] = set()
        self.combinations: set[tuple[str, str]] = set()
        self.calm = self.known = False
        self.scene = ""
        self._times = Counter[str]()

    def start(self) -> None:
        """Start a new sentence."""
        self.constructions, self.combinations = set(), set()
        self.calm, self.known = self.chance(0.7), False
        self.scene = self.pick(self.lexicon.scenes)

    def pick(self, items: Sequence[T]) -> T:
        """Return a random item; frequent words, and words that fit the scene, are more likely."""
        for _ in range(_MAX_REJECTIONS):
            item = items[int(self._random() * len(items))]
            if not isinstance(item, Noun | Verb | Adjective) or self._random() < self._weight(item):
                break
        if isinstance(item, Noun | Verb | Adjective):
            self._times[item.lemma] += 1
        return item

    def _weight(self, word: Noun | Verb | Adjective) -> float:
        """Return the probability of accepting a word; its frequency counts after `floor` draws."""
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
        """Return a random noun of the classes or groups."""
        return self.pick(self.lexicon.of(*classes))

    def build(self, *constructions: str) -> None:
        """Record constructions of the current sentence."""
        self.constructions.update(constructions)

    def combine(self, one: str, other: str) -> None:
        """Record a combination of parts in the current sentence."""
        self.combinations.add((one, other))
