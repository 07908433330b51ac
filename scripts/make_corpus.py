"""Write a large corpus generated from the embedded phrasebook: N distinct pairs as two text files.

python scripts/make_corpus.py FOLDER 1000000   train.fr and train.en, and 500 pairs of val

The corpus is for measuring time and memory, not for training a useful model. The first pairs are the
phrasebook's; each of the others joins two of its sentences. A third of these are quoted with an invented
name, so that rare words are about as frequent as in natural text.
"""

import argparse
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from translator.data import phrasebook

SYLLABLES = [consonant + vowel for consonant in "bcdfglmnprstv" for vowel in ("a", "e", "i", "o", "u", "an")]


def pairs(n: int, *, seed: int = 1) -> Iterator[tuple[str, str]]:
    """Yield `n` distinct pairs, which depend only on the seed."""
    draw = random.Random(seed)
    base = [(pair["fr"], pair["en"]) for pair in phrasebook.pairs("train")]
    yield from islice(base, n)
    draw.shuffle(base)
    for i in range(n - len(base)):
        # Each pass over the sentences joins them at another distance, so that no pair occurs twice.
        distance, place = divmod(i, len(base))
        first, second = base[place], base[(place + distance + 1) % len(base)]
        french, english = (f"{one} {other}" for one, other in zip(first, second, strict=True))
        if i % 3 == 0:
            name = "".join(draw.choices(SYLLABLES, k=draw.randint(2, 4))).capitalize()
            french, english = f"« {french} » dit {name}.", f"“{english}” said {name}."
        yield french, english


def write(folder: Path, n: int, *, n_small: int = 500, seed: int = 1) -> None:
    """Write `train`, and a small `val` from the phrasebook's own, as one file per language."""
    folder.mkdir(parents=True, exist_ok=True)
    small = ((pair["fr"], pair["en"]) for pair in islice(phrasebook.pairs("val"), n_small))
    for split, rows in {"train": pairs(n, seed=seed), "val": small}.items():
        with (
            (folder / f"{split}.fr").open("w", encoding="utf-8", newline="\n") as french,
            (folder / f"{split}.en").open("w", encoding="utf-8", newline="\n") as english,
        ):
            for source, target in rows:
                french.write(source + "\n")
                english.write(target + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("n_pairs", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.n_pairs, seed=arguments.seed)


if __name__ == "__main__":
    main()
