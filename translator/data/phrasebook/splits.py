"""The splits of the phrasebook.

The pairs of `train`, `val` and `test` come from three sources: sentences written as a whole, patterns, and
the grammar. Each of these splits contains pairs from every source; `train` alone also repeats some of the
sentences with invented names. No French sentence of `val` or `test` is
in `train`. `test_compositional` consists of sentences of the grammar. Each of them contains a combination of
two parts (such as a rare verb and a tense, or a noun and an adjective) that does not occur in `train`,
although each of the two parts occurs in `train`. `challenge` and `everyday` were written by hand, by authors
who had not seen the other splits.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple
from zlib import crc32

from translator.data.phrasebook import patterns, written
from translator.data.phrasebook.constructions import CONSTRUCTIONS
from translator.data.phrasebook.copying import copied
from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.lexicon import TABLES, load
from translator.data.phrasebook.named import with_invented_names
from translator.data.phrasebook.phrases import Sentence, finish

SEED = 1
ORIGINS = ("sentences", "patterns", "grammar", "invented names")
#: Numbers of pairs in `train` that come from patterns and from the grammar. `train` also contains
#: all sentences written as a whole that are not in `val` or `test`.
N_PATTERNS, N_GRAMMAR = 15_200, 4_000
#: Numbers of further pairs in `train` only: written sentences with invented names, and patterns with numbers,
#: names or addresses, all of which have to be copied.
N_NAMED, N_COPYING = 9_000, 5_500
#: For each source, the number of its pairs in `val`, which is also the number of its pairs in `test`.
N_HELD_OUT = {"sentences": 600, "patterns": 600, "grammar": 800}
N_COMPOSITIONAL = 1_000
#: Number of combinations of parts, out of a thousand, that are kept out of training.
_KEPT_BACK = 300
#: When the grammar draws sentences for `train`, `val` and `test`, it ignores the frequency of a word until
#: the word has been drawn this many times, so that rare words occur too.
_FLOOR = 2
#: Minimum number of times that each word and each part in `test_compositional` occurs in `train`.
_WELL_KNOWN = 5
#: Number of verbs that count as common. A combination with a common verb is never kept out of training.
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

    If one of the parts is a common verb, the combination is not kept out. Otherwise, a checksum of the two
    parts decides.
    """
    if {one, other} & _common():
        return False
    return crc32(f"{one}\t{other}".encode()) % 1000 < _KEPT_BACK


@cache
def _common() -> frozenset[str]:
    """Return the keys of all meanings of the `_N_COMMON_VERBS` most frequent verbs."""
    lemmas = list(dict.fromkeys(verb.lemma for verb in sorted(load().verbs, key=lambda v: -v.frequency)))
    commonest = set(lemmas[:_N_COMMON_VERBS])
    return frozenset(verb.key for verb in load().verbs if verb.lemma in commonest)


def sentences() -> Iterator[Example]:
    """Yield the sentences written as a whole, sorted by a checksum so that their themes are mixed."""
    for pair in sorted(written.sentences(), key=lambda pair: (crc32(pair.fr.encode()), pair.fr)):
        yield Example(
            Sentence(pair.fr, pair.en, ()), "sentences", frozenset(f"point {point}" for point in pair.points)
        )


def from_patterns(seed: int = SEED, *, copying: bool = False) -> Iterator[Example]:
    """Yield sentences without end, one from each pattern in turn. A French sentence may be repeated.

    If `copying` is true, only patterns with something to copy are used.
    """
    d = Draw(load(), seed)
    lines = patterns.tables()["sentence"]
    if copying:
        lines = [line for line in lines if any(copied(slot.kind) for slot, _ in line.shared.values())]
    while True:
        for line in lines:
            d.start()
            sentence = finish(patterns.fill(d, line))
            points = (f"point {point}" for point in line.points)
            yield Example(sentence, "patterns", frozenset({*points, line.where}))


def from_grammar(seed: int = SEED, *, floor: int = 0) -> Iterator[Example]:
    """Yield sentences of the grammar without end. A French sentence may be repeated.

    `floor` is passed to `Draw`.
    """
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
        examples = list(stream if n_train is None else islice(_new(stream, taken), n_train + 2 * n))
        split["val"] += examples[:n]
        split["test"] += examples[n : 2 * n]
        split["train"] += examples[2 * n :]
    compositional = _compositional(split["train"], taken)
    split["train"] += _to_copy(split["train"], taken)
    return split | {"test_compositional": compositional}


def _to_copy(train: list[Example], taken: set[str]) -> Iterator[Example]:
    """Yield the further pairs of `train`; see `N_NAMED`. No French sentence is in `taken`."""
    written_pairs = [example.sentence for example in train if example.origin == "sentences"]
    named = with_invented_names(written_pairs, Draw(load(), SEED + 2))
    for stream, n in (
        ((Example(sentence, "invented names") for sentence in named), N_NAMED),
        (from_patterns(SEED + 2, copying=True), N_COPYING),
    ):
        yield from islice(_new(stream, taken), n)


def _new(stream: Iterable[Example], taken: set[str]) -> Iterator[Example]:
    """Yield the examples that may be in `train`. Their French sentences are added to `taken`."""
    for example in stream:
        french = example.sentence.fr.casefold()
        if french not in taken and not example.is_compositional:
            taken.add(french)
            yield example


def _compositional(train: list[Example], taken: set[str]) -> list[Example]:
    """Draw sentences that contain a combination of parts that is kept out of training.

    Every word and every part of these sentences occurs at least `_WELL_KNOWN` times in `train`. No French
    sentence is in `taken`.
    """
    words = Counter(word for e in train for side in e.sentence[:2] for word in side.split())
    met = Counter(part for example in train for pair in example.combinations for part in pair)
    by_french: dict[str, Example] = {}
    for example in from_grammar(SEED + 1):
        is_known = all(met[part] >= _WELL_KNOWN for pair in example.combinations for part in pair) and all(
            words[word] >= _WELL_KNOWN for side in example.sentence[:2] for word in side.split()
        )
        if example.is_compositional and is_known and example.sentence.fr.casefold() not in taken:
            by_french.setdefault(example.sentence.fr.casefold(), example)
        if len(by_french) == N_COMPOSITIONAL:
            break
    return list(by_french.values())


def by_hand(split: str) -> Iterator[tuple[str, str, str]]:
    """Yield each French sentence of a hand-written split, followed by its two English references."""
    with (TABLES / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield row["fr"], row["en"], row["en2"]
