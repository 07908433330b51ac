"""Write the embedded phrasebook as files, or print samples and statistics.

python scripts/write_phrasebook.py FOLDER      every split: .fr, .en, .en2; for aligned pairs .links, .words
python scripts/write_phrasebook.py --samples   five sentences of each construction, for reading
python scripts/write_phrasebook.py --random 400 --seed 7   pairs drawn from the training split
python scripts/write_phrasebook.py --counts    lemmas, constructions and distinct words
"""

import argparse
import random
import sys
from collections import Counter
from pathlib import Path

from translator.alignment.words import words
from translator.data import phrasebook
from translator.data.phrasebook import lexicon, splits


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="where to write; created if it does not exist")
    parser.add_argument("--samples", action="store_true", help="print five sentences of each construction")
    parser.add_argument(
        "--random", type=int, default=0, metavar="N", help="print N pairs of the training split"
    )
    parser.add_argument("--seed", type=int, default=1, help="of --random")
    parser.add_argument(
        "--counts", action="store_true", help="print the numbers of lemmas, words and constructions"
    )
    arguments = parser.parse_args()
    if not (arguments.folder or arguments.samples or arguments.random or arguments.counts):
        parser.error("give a folder, --samples, --random N or --counts")
    if arguments.folder:
        return write(arguments.folder)
    if arguments.samples:
        print_samples()
    if arguments.random:
        examples = splits.generated()["train"]
        for example in random.Random(arguments.seed).sample(examples, min(arguments.random, len(examples))):
            print(f"{example.sentence.fr}\t{example.sentence.en}")
    if arguments.counts:
        print_counts()
    return 0


def write(folder: Path) -> int:
    """Write each split; write nothing if one of the files exists."""
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[Path, list[str]] = {}
    for split in phrasebook.SPLITS:
        pairs = list(phrasebook.pairs(split))
        for language in phrasebook.LANGUAGES:
            texts[folder / f"{split}.{language}"] = [pair[language] for pair in pairs]
        if split in phrasebook.BY_HAND:
            texts[folder / f"{split}.en2"] = phrasebook.second_references(split) or []
            continue
        links = list(phrasebook.alignments(split))  # hand-written sentences have no links
        aligned = [pair for pair, line in zip(pairs, links, strict=True) if line]
        for language in phrasebook.LANGUAGES:
            texts[folder / f"{split}.words.{language}"] = [
                " ".join(words(pair[language])) for pair in aligned
            ]
        texts[folder / f"{split}.links"] = list(filter(None, links))
    existing = [path for path in texts if path.exists()]
    if existing:
        print(f"error: {existing[0]}: exists; give another folder, or move it away", file=sys.stderr)
        return 1
    for path, lines in texts.items():
        unfinished = path.with_name(path.name + ".unfinished")
        unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
        unfinished.replace(path)
    return 0


def print_samples() -> None:
    """Print five sentences of each construction of the training split."""
    shown: dict[str, list[str]] = {}
    for example in splits.generated()["train"]:
        for name in (
            name for name in example.constructions if ":" not in name
        ):  # names with a colon are positions of patterns
            if len(shown.setdefault(name, [])) < 5:
                shown[name].append(f"    {example.sentence.fr}  |  {example.sentence.en}")
    for name in sorted(shown):
        print(name, *shown[name], sep="\n")


def print_counts() -> None:
    """Print the size of the lexicon and of each split, and how often each construction occurs."""
    lexical = lexicon.load()
    print(f"{len(lexicon.lemmas(lexical)):,} French lemmas")
    for split in phrasebook.SPLITS:
        pairs = list(phrasebook.pairs(split))
        counts = [
            len({word.lower() for pair in pairs for word in words(pair[language])})
            for language in phrasebook.LANGUAGES
        ]
        print(f"{split}: {len(pairs):,} pairs, {counts[0]:,} French and {counts[1]:,} English words")
    train = splits.generated()["train"]
    print(f"train: {', '.join(f'{n:,} {s}' for s, n in Counter(e.origin for e in train).items())}")
    built = Counter(name for example in train for name in example.constructions if ":" not in name)
    print(f"{len(built)} constructions in train:")
    for name, count in sorted(built.items()):
        print(f"  {count:6,}  {name}")


if __name__ == "__main__":
    sys.exit(main())
