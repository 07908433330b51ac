"""The embedded corpus: French–English pairs that a small grammar writes, the same on every machine."""

import hashlib
from collections.abc import Iterator

from translator.data.phrasebook import splits
from translator.data.phrasebook.lexicon import TABLES

LANGUAGES = ("fr", "en")
SPLITS = ("train", "val", "test", "test_compositional", "challenge", "everyday")
#: Splits that people wrote, each French sentence with the English of two.
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
    """Return the other English of a split that people wrote; None for the splits that have one reference."""
    return [other for _, _, other in splits.by_hand(split)] if split in BY_HAND else None


def origins(split: str) -> list[str] | None:
    """Return where each pair of a split comes from, one of `splits.ORIGINS`; None for a split by hand."""
    return None if split in BY_HAND else [example.origin for example in splits.generated()[split]]


def alignments(split: str) -> Iterator[str]:
    """Iterate over the links of a generated split in Pharaoh format, in the order of `pairs`.

    A sentence that was written whole has none: its line is empty.

    Raises:
        KeyError: of a split by hand, which nobody has aligned.
    """
    return (" ".join(f"{i}-{j}" for i, j in e.sentence.links) for e in splits.generated()[split])


def fingerprint() -> str:
    """Return the SHA-256 of the grammar and its tables, which stands for the text they write."""
    digest = hashlib.sha256()
    for path in sorted([*TABLES.parent.glob("*.py"), *TABLES.rglob("*.tsv")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
