"""Which sentences are for training, and which are kept back to see what was learned.

`val` and `test` are drawn as `train` is, and hold none of its sentences. `test_compositional` is made of
sentences in which two parts meet that never meet in the others (a verb and a tense, a noun and an
adjective …), though each of the two is there with other partners.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple
from zlib import crc32

from translator.data.phrasebook import places
from translator.data.phrasebook.constructions import CONSTRUCTIONS
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.lexicon import TABLES, load
from translator.data.phrasebook.phrases import Sentence, finish

SEED = 1
N_TRAIN, N_VAL, N_TEST, N_COMPOSITIONAL = 60_000, 2_000, 2_000, 1_000
#: Of a thousand pairs of parts, how many are kept out of training.
_KEPT_BACK = 30


class Example(NamedTuple):
    """A sentence with what it is built of."""

    sentence: Sentence
    constructions: frozenset[str]
    combinations: frozenset[tuple[str, str]]

    @property
    def is_compositional(self) -> bool:
        """Whether two parts meet in it that never meet in training."""
        return any(kept_back(one, other) for one, other in self.combinations)


@cache
def kept_back(one: str, other: str) -> bool:
    """Whether two parts are kept from meeting in training: a choice by checksum, the same everywhere."""
    return crc32(f"{one}\t{other}".encode()) % 1000 < _KEPT_BACK


def drawn(seed: int = SEED) -> Iterator[Example]:
    """Draw examples without end; a French sentence may come again."""
    d = Draw(load(), seed)
    builders = [build for build, weight in CONSTRUCTIONS for _ in range(weight)]
    while True:
        d.start()
        sentence = finish(d.pick(builders)(d))
        yield Example(sentence, frozenset(d.constructions), frozenset(d.combinations))


@cache
def generated() -> dict[str, list[Example]]:
    """Return the generated splits."""
    ordinary: dict[str, Example] = {}
    composed: dict[str, Example] = {}
    for entry in load().phrases:
        sentence = finish(places.fixed(entry))
        ordinary[sentence.fr] = Example(sentence, frozenset({"set phrase"}), frozenset())
    n_phrases = len(ordinary)
    written = {french for split in ("challenge", "everyday") for french, _, _ in by_hand(split)}
    for example in drawn():
        french = example.sentence.fr
        if french in written:
            continue
        (composed if example.is_compositional else ordinary).setdefault(french, example)
        if len(ordinary) == N_TRAIN + N_VAL + N_TEST:
            break
    examples = list(ordinary.values())
    train = examples[:n_phrases] + examples[n_phrases + N_VAL + N_TEST :]
    written = {word for e in train for side in e.sentence[:2] for word in side.split()}
    met = Counter(part for example in train for pair in example.combinations for part in pair)
    known = [
        example
        for example in composed.values()
        if all(met[one] and met[other] for one, other in example.combinations)
        and written.issuperset((example.sentence.fr + " " + example.sentence.en).split())
    ]
    return {
        "train": train,
        "val": examples[n_phrases : n_phrases + N_VAL],
        "test": examples[n_phrases + N_VAL : n_phrases + N_VAL + N_TEST],
        "test_compositional": known[:N_COMPOSITIONAL],
    }


def by_hand(split: str) -> Iterator[tuple[str, str, str]]:
    """Yield a split that was written by hand: French, and English by two people."""
    with (TABLES / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield row["fr"], row["en"], row["en2"]
