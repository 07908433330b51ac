"""Random choices that are the same on every machine, with a record of the parts of each sentence."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from translator.data.phrasebook.lexicon import Lexicon
from translator.data.phrasebook.vocabulary import Adjective, Noun, Verb

T = TypeVar("T")

#: Maximum number of attempts of one draw. A word that is rare, or belongs to another scene, may be rejected
#: in each of them; the word of the last attempt is then accepted.
_MAX_REJECTIONS = 100
#: Factor by which a word is less likely if it belongs to scenes, but not to the current scene.
_ELSEWHERE = 0.05


class Draw:
    """Draws random words from the lexicon for one sentence after another.

    The class uses only `Random.random`, whose sequence is guaranteed to be the same in every version of
    Python.

    Attributes:
        constructions: names of the constructions in the current sentence.
        combinations: pairs of parts in the current sentence, such as a verb and its tense; some are kept out
            of training (see `splits`).
        scene: where the current sentence takes place.
        calm: whether phrases are kept simple, with fewer adjectives and quantities and more pronouns. `start`
            usually sets it to true. Some constructions, such as a condition, always do.
        known: whether the subject may not be indefinite (un garçon, chaque garçon, quelqu'un), as in
            questions and negations.
    """

    def __init__(self, lexicon: Lexicon, seed: int, *, floor: int = 0) -> None:
        """Seed the generator. The frequency of a word counts only after the word was drawn `floor` times."""
        self.lexicon, self._floor = lexicon, floor
        self._random = random.Random(seed).random
        self.constructions: set[str] = set()
        self.combinations: set[tuple[str, str]] = set()
        self.calm = self.known = False
        self.scene = ""
        self._times = Counter[str]()

    def start(self) -> None:
        """Start a new sentence: clear the records and draw its scene."""
        self.constructions, self.combinations = set(), set()
        self.calm, self.known = self.chance(0.7), False
        self.scene = self.pick(self.lexicon.scenes)

    def pick(self, items: Sequence[T]) -> T:
        """Return a random item. Among words, frequent ones and those that fit the scene are more likely."""
        for _ in range(_MAX_REJECTIONS):
            item = items[int(self._random() * len(items))]
            if not isinstance(item, Noun | Verb | Adjective) or self._random() < self._weight(item):
                break
        if isinstance(item, Noun | Verb | Adjective):
            self._times[item.lemma] += 1
        return item

    def _weight(self, word: Noun | Verb | Adjective) -> float:
        """Return the probability of accepting a word. Its frequency counts only after `floor` draws."""
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
        """Return a random noun that belongs to one of the classes or groups."""
        return self.pick(self.lexicon.of(*classes))

    def build(self, *constructions: str) -> None:
        """Record that the current sentence contains these constructions."""
        self.constructions.update(constructions)

    def combine(self, one: str, other: str) -> None:
        """Record that the current sentence combines these two parts."""
        self.combinations.add((one, other))
