"""Chance that is the same on every machine, and a note of what a sentence was made of."""

import random
from collections.abc import Sequence
from typing import TypeVar

from translator.data.phrasebook.lexicon import Lexicon
from translator.data.phrasebook.vocabulary import Noun

T = TypeVar("T")


class Draw:
    """Draws words from the lexicon for one sentence after another.

    Only `Random.random` is used: Python promises the same numbers from it in every version.

    Attributes:
        constructions: names of what the sentence in hand is built of.
        combinations: pairs of parts that meet in it, such as a verb and its tense; some pairs are kept
            out of training (see `splits`).
        calm: whether phrases are kept simple, in a sentence of several clauses.
        known: whether subjects are named by `le` or `mon` alone, as in questions and negations.
    """

    def __init__(self, lexicon: Lexicon, seed: int) -> None:
        self.lexicon = lexicon
        self._random = random.Random(seed).random
        self.constructions: set[str] = set()
        self.combinations: set[tuple[str, str]] = set()
        self.calm = self.known = False

    def start(self) -> None:
        """Begin another sentence."""
        self.constructions, self.combinations = set(), set()
        self.calm = self.known = False

    def pick(self, items: Sequence[T]) -> T:
        """Return one of some items, each as likely as the others."""
        return items[int(self._random() * len(items))]

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
