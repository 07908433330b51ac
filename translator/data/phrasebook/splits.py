"""The splits of the phrasebook.

Pairs come from three sources: sentences written as a whole, patterns, and the grammar. `val` and `test`
contain pairs from each source, and no French sentence that is in `train`. `test_compositional` consists of
sentences of the grammar with a combination of two parts (a rare verb and a tense, a noun and an adjective)
that never occurs in training, although each of the two parts occurs there. `challenge` and `everyday` were
written by hand, by authors who had not seen the other splits.
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
#: Number of pairs from patterns and from the grammar in `train`. `train` also contains every hand-written
#: sentence that is not in `val` or `test`, once.
N_PATTERNS, N_GRAMMAR = 12_500, 4_000
#: Number of pairs from each source in `val`. `test` has the same number.
N_HELD_OUT = {"sentences": 600, "patterns": 600, "grammar": 800}
N_COMPOSITIONAL = 1_000
#: Of a thousand combinations of parts, how many are kept out of training.
_KEPT_BACK = 300
#: In training, the frequency of a word counts only after the word has been drawn this many times. Therefore
#: rare words occur too.
_FLOOR = 2
#: Minimum number of times that each word and each part in `test_compositional` occurs in training.
_WELL_KNOWN = 5
#: Number of most frequent verbs. A combination with one of these verbs is never kept out of training.
_N_COMMON_VERBS = 100


class Example(NamedTuple):
    """A pair with its origin, its constructions and its combinations of parts."""

    sentence: Sentence
    origin: str
    constructions: frozenset[str] = frozenset()
    combinations: frozenset[tuple[str, str]] = frozenset()

    @property
    def is_compositional(self) -> bool:
        """Whether the pair has a combination of parts that is kept out of training."""
        return any(kept_back(one, other) for one, other in self.combinations)


@cache
def kept_back(one: str, other: str) -> bool:
    """Return whether a combination of parts is kept out of training.

    A checksum of the two parts decides, unless one of them is a common verb.
    """
    if {one, other} & _common():
        return False
    return crc32(f"{one}\t{other}".encode()) % 1000 < _KEPT_BACK


@cache
def _common() -> frozenset[str]:
    """Return the keys of the most frequent verbs, in all of their meanings."""
    lemmas = list(dict.fromkeys(verb.lemma for verb in sorted(load().verbs, key=lambda v: -v.frequency)))
    commonest = set(lemmas[:_N_COMMON_VERBS])
    return frozenset(verb.key for verb in load().verbs if verb.lemma in commonest)


def sentences() -> Iterator[Example]:
    """Yield the sentences written as a whole, ordered by a checksum so that themes are mixed."""
    for pair in sorted(written.sentences(), key=lambda pair: (crc32(pair.fr.encode()), pair.fr)):
        yield Example(
            Sentence(pair.fr, pair.en, ()), "sentences", frozenset(f"point {point}" for point in pair.points)
        )


def from_patterns(seed: int = SEED) -> Iterator[Example]:
    """Yield a sentence of each pattern in turn, endlessly. A French sentence may occur again."""
    d = Draw(load(), seed)
    lines = patterns.tables()["sentence"]
    while True:
        for line in lines:
            d.start()
            sentence = finish(patterns.fill(d, line))
            points = (f"point {point}" for point in line.points)
            yield Example(sentence, "patterns", frozenset({*points, line.where}))


def from_grammar(seed: int = SEED, *, floor: int = 0) -> Iterator[Example]:
    """Yield sentences of the grammar, endlessly. A French sentence may occur again. `floor` is for `Draw`."""
    d = Draw(load(), seed, floor=floor)
    builders = [build for build, weight in CONSTRUCTIONS for _ in range(weight)]
    while True:
        d.start()
        sentence = finish(d.pick(builders)(d))
        yield Example(sentence, "grammar", frozenset(d.constructions), frozenset(d.combinations))


@cache
def generated() -> dict[str, list[Example]]:
    """Return the generated splits by name: train, val, test and test_compositional."""
    taken = {example.sentence.fr.casefold() for example in sentences()}
    split: dict[str, list[Example]] = {"train": [], "val": [], "test": []}
    for origin, stream, n_train in (
        ("sentences", sentences(), None),
        ("patterns", from_patterns(), N_PATTERNS),
        ("grammar", from_grammar(floor=_FLOOR), N_GRAMMAR),
    ):
        n = N_HELD_OUT[origin]
        examples: list[Example] = []
        for example in stream:
            french = example.sentence.fr.casefold()
            if origin == "sentences" or not (french in taken or example.is_compositional):
                taken.add(french)
                examples.append(example)
            if n_train is not None and len(examples) == n_train + 2 * n:
                break
        split["val"] += examples[:n]
        split["test"] += examples[n : 2 * n]
        split["train"] += examples[2 * n :]
    return split | {"test_compositional": _compositional(split["train"])}


def _compositional(train: list[Example]) -> list[Example]:
    """Draw sentences with a combination of parts that is not in `train`.

    Every word and every part of these sentences occurs at least `_WELL_KNOWN` times in `train`.
    """
    words = Counter(word for e in train for side in e.sentence[:2] for word in side.split())
    met = Counter(part for example in train for pair in example.combinations for part in pair)
    by_french: dict[str, Example] = {}
    for example in from_grammar(SEED + 1):
        is_known = all(met[part] >= _WELL_KNOWN for pair in example.combinations for part in pair) and all(
            words[word] >= _WELL_KNOWN for side in example.sentence[:2] for word in side.split()
        )
        if example.is_compositional and is_known:
            by_french.setdefault(example.sentence.fr.casefold(), example)
        if len(by_french) == N_COMPOSITIONAL:
            break
    return list(by_french.values())


def by_hand(split: str) -> Iterator[tuple[str, str, str]]:
    """Yield each French sentence of a hand-written split, with English references by two people."""
    with (TABLES / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield row["fr"], row["en"], row["en2"]
