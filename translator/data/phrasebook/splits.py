"""Which pairs are for training, and which are kept back to see what was learned.

Pairs come from three sources: sentences written whole, patterns, and the grammar. `val` and `test` hold
some of each, and none of the French of `train`. `test_compositional` is made of sentences of the grammar in
which two parts meet that never meet in the others (a rare verb and a tense, a noun and an adjective), though
each of the two is there with other partners. `challenge` and `everyday` are by people who had seen neither.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple
from zlib import crc32

from translator.data.phrasebook import patterns, written
from translator.data.phrasebook.constructions import CONSTRUCTIONS
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.lexicon import TABLES, load
from translator.data.phrasebook.phrases import Sentence, finish

SEED = 1
ORIGINS = ("sentences", "patterns", "grammar")
#: Pairs of `train` that patterns and the grammar write; the sentences are all there, and each once.
N_PATTERNS, N_GRAMMAR = 12_500, 4_000
#: Pairs of each source in `val`, and in `test`.
N_HELD_OUT = {"sentences": 600, "patterns": 600, "grammar": 800}
N_COMPOSITIONAL = 1_000
#: Of a thousand pairs of parts, how many are kept out of training.
_KEPT_BACK = 300
#: How often training draws every word, however rare.
_FLOOR = 2
#: What `test_compositional` is made of occurs this often in training: it asks for composition, not for words.
_WELL_KNOWN = 5
#: Parts of verbs this common are never kept back, nor is a tense, a negation or a form of question.
_N_COMMON_VERBS = 100


class Example(NamedTuple):
    """A pair with where it comes from and what it is built of; a written sentence has no links."""

    sentence: Sentence
    origin: str
    constructions: frozenset[str] = frozenset()
    combinations: frozenset[tuple[str, str]] = frozenset()

    @property
    def is_compositional(self) -> bool:
        """Whether two parts meet in it that never meet in training."""
        return any(kept_back(one, other) for one, other in self.combinations)


@cache
def kept_back(one: str, other: str) -> bool:
    """Whether two parts are kept from meeting in training: a choice by checksum, the same everywhere."""
    if {one, other} & _common():
        return False
    return crc32(f"{one}\t{other}".encode()) % 1000 < _KEPT_BACK


@cache
def _common() -> frozenset[str]:
    """The commonest verbs, in each meaning: they meet everything in training."""
    lemmas = list(dict.fromkeys(verb.lemma for verb in sorted(load().verbs, key=lambda v: -v.frequency)))
    commonest = set(lemmas[:_N_COMMON_VERBS])
    return frozenset(verb.key for verb in load().verbs if verb.lemma in commonest)


def sentences() -> Iterator[Example]:
    """Yield the sentences written whole, in an order that has nothing to do with their themes."""
    for pair in sorted(written.sentences(), key=lambda pair: (crc32(pair.fr.encode()), pair.fr)):
        yield Example(
            Sentence(pair.fr, pair.en, ()), "sentences", frozenset(f"point {point}" for point in pair.points)
        )


def from_patterns(seed: int = SEED) -> Iterator[Example]:
    """Fill in patterns, one after the other and again, without end; a French sentence may come again."""
    d = Draw(load(), seed)
    lines = patterns.tables()["sentence"]
    while True:
        for line in lines:
            d.start()
            sentence = finish(patterns.fill(d, line))
            points = (f"point {point}" for point in line.points)
            yield Example(sentence, "patterns", frozenset({*points, line.where}))


def from_grammar(seed: int = SEED, *, floor: int = 0) -> Iterator[Example]:
    """Draw sentences of the grammar without end (see `Draw`); a French sentence may come again."""
    d = Draw(load(), seed, floor=floor)
    builders = [build for build, weight in CONSTRUCTIONS for _ in range(weight)]
    while True:
        d.start()
        sentence = finish(d.pick(builders)(d))
        yield Example(sentence, "grammar", frozenset(d.constructions), frozenset(d.combinations))


@cache
def generated() -> dict[str, list[Example]]:
    """Return the splits that the three sources make."""
    taken = {example.sentence.fr.casefold() for example in sentences()}
    split: dict[str, list[Example]] = {"train": [], "val": [], "test": []}
    for origin, stream, n_train in (
        ("sentences", sentences(), None),
        ("patterns", from_patterns(), N_PATTERNS),
        ("grammar", from_grammar(floor=_FLOOR), N_GRAMMAR),
    ):
        n = N_HELD_OUT[origin]
        found: list[Example] = []
        for example in stream:
            french = example.sentence.fr.casefold()
            if origin == "sentences" or not (french in taken or example.is_compositional):
                taken.add(french)
                found.append(example)
            if n_train is not None and len(found) == n_train + 2 * n:
                break
        split["val"] += found[:n]
        split["test"] += found[n : 2 * n]
        split["train"] += found[2 * n :]
    return split | {"test_compositional": _compositional(split["train"])}


def _compositional(train: list[Example]) -> list[Example]:
    """Draw sentences in which parts meet that never meet in training, but whose words and parts it has."""
    words = Counter(word for e in train for side in e.sentence[:2] for word in side.split())
    met = Counter(part for example in train for pair in example.combinations for part in pair)
    found: dict[str, Example] = {}
    for example in from_grammar(SEED + 1):
        is_known = all(met[part] >= _WELL_KNOWN for pair in example.combinations for part in pair) and all(
            words[word] >= _WELL_KNOWN for side in example.sentence[:2] for word in side.split()
        )
        if example.is_compositional and is_known:
            found.setdefault(example.sentence.fr.casefold(), example)
        if len(found) == N_COMPOSITIONAL:
            break
    return list(found.values())


def by_hand(split: str) -> Iterator[tuple[str, str, str]]:
    """Yield a split that was written by hand: French, and English by two people."""
    with (TABLES / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield row["fr"], row["en"], row["en2"]
