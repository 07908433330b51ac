"""The phrasebook: a dataset of French–English sentence pairs, which is the same on every machine."""

import hashlib
from collections.abc import Iterator

from translator.data.phrasebook import splits
from translator.data.phrasebook.lexicon import TABLES

LANGUAGES = ("fr", "en")
SPLITS = ("train", "val", "test", "test_compositional", "challenge", "everyday")
#: The hand-written splits. Each of their French sentences has two English references.
BY_HAND = ("challenge", "everyday")


def pairs(split: str) -> Iterator[dict[str, str]]:
    """Iterate over the pairs of a split, each as `{"fr": …, "en": …}`, always in the same order.

    Raises:
        ValueError: `split` is not one of `SPLITS`; the message names them.
    """
    if split not in SPLITS:
        raise ValueError(f"phrasebook has no split {split!r}; it has: {', '.join(SPLITS)}")
    if split in BY_HAND:
        return ({"fr": fr, "en": en} for fr, en, _ in splits.by_hand(split))
    return ({"fr": e.sentence.fr, "en": e.sentence.en} for e in splits.generated()[split])


def second_references(split: str) -> list[str] | None:
    """Return the second English reference of each pair, or None if the split is not hand-written."""
    return [other for _, _, other in splits.by_hand(split)] if split in BY_HAND else None


def origins(split: str) -> list[str] | None:
    """Return the origin of each pair (one of `splits.ORIGINS`), or None if the split is hand-written."""
    return None if split in BY_HAND else [example.origin for example in splits.generated()[split]]


def alignments(split: str) -> Iterator[str]:
    """Iterate over the word alignments of the pairs of a generated split, in the order of `pairs`.

    An alignment is a string in Pharaoh format, such as `0-0 1-2 2-1`. Some pairs of a generated split are
    sentences that were written as a whole. They have no alignment, and their string is empty.

    Raises:
        KeyError: `split` is not a generated split.
    """
    return (" ".join(f"{i}-{j}" for i, j in e.sentence.links) for e in splits.generated()[split])


def fingerprint() -> str:
    """Return a SHA-256 hash of the phrasebook's Python files and tables, to identify its version."""
    digest = hashlib.sha256()
    for path in sorted([*TABLES.parent.glob("*.py"), *TABLES.rglob("*.tsv")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
