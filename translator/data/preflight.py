"""Checks of a corpus. They find the pairs that are unfit for training and those that are only suspicious.

The two sides of a pair are kept or left out together. The checks use 18 bytes of memory for each pair,
however long its texts are, and more while the hashes are sorted.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from translator.config import DataConfig
from translator.data import lines, oddities
from translator.data.input_map import normalize
from translator.data.oddities import looks_swapped
from translator.data.report import N_EXAMPLES, REASONS, Report

_NON_WORD = re.compile(r"[\W_]+")

#: Maps each bit flag of the column `notes` to the name of its note in `report.NOTES`.
_NOTE_OF_FLAG = {
    lines.CRLF: "crlf",
    lines.BOM: "bom",
    lines.MARKUP: "markup",
    oddities.ENTITY: "entity",
    oddities.TOKENISED: "tokenised",
    oddities.MOJIBAKE: "mojibake",
    oddities.INVISIBLE: "invisible",
    oddities.QUOTED: "quoted",
}

#: Pairs with a side in double quotes are noted only if they make up at least this fraction of all pairs. If
#: there are fewer, the quotes may well mark direct speech.
_QUOTED_FRACTION = 0.02

NO_HASHES = torch.empty(0, dtype=torch.int64)

#: The verdict on a pair that is kept. The verdict on a pair that is left out is the index of the reason in
#: `REASONS`.
_KEPT = len(REASONS)


def pair_hash(source: str, target: str) -> int:
    """Return a signed 64-bit hash of a pair. A collision among 40 million pairs has probability 1/20,000."""
    return _hash(f"{len(source)}\n{source}{target}")


def source_hash(source: str) -> int:
    """Return a signed 64-bit hash of a source. The hash ignores case."""
    return _hash(source.casefold())


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def alike_hash(source: str) -> int:
    """Return a signed 64-bit hash of a source. The hash ignores case, punctuation and spaces."""
    return _hash(_NON_WORD.sub("", source.casefold()))


class HeldOut(NamedTuple):
    """Hashes of the pairs of all splits except `train`. Each tensor is one-dimensional int64.

    Attributes:
        sources: `source_hash` of each pair.
        pairs: `pair_hash` of each pair.
        alike: `alike_hash` of each pair whose source has a letter or digit.
    """

    sources: Tensor
    pairs: Tensor
    alike: Tensor


def hash_held_out(datasets: Iterable[Any]) -> HeldOut:
    """Return the hashes of all pairs in `datasets`, the splits other than `train`."""
    sources: list[int] = []
    pairs: list[int] = []
    alike: list[int] = []
    for dataset in datasets:
        for batch in dataset.iter(batch_size=1000):
            for source, target in zip(batch["source"], batch["target"], strict=True):
                sources.append(source_hash(source))
                pairs.append(pair_hash(source, target))
                if _NON_WORD.sub("", source):
                    alike.append(alike_hash(source))
    return HeldOut(*(torch.tensor(hashes, dtype=torch.int64) for hashes in (sources, pairs, alike)))


def check_pairs(
    dataset: Any, config: DataConfig, held_out: HeldOut, *, earlier: Tensor = NO_HASHES
) -> tuple[Report, Tensor, Tensor]:
    """Check every pair of a training split.

    Args:
        dataset: the split, a table with the columns `line`, `source`, `target` and `notes`.
        config: the configuration. Its limits on lengths and its languages are used.
        held_out: hashes of the pairs of the other splits.
        earlier: hashes of the pairs of earlier sources, which are duplicates here.

    Returns:
        The report, the row numbers of the pairs that are fit for training (int64, ascending), and all hashes.
    """
    n = len(dataset)
    report = Report(n)
    names = list(REASONS)
    verdict = torch.empty(n, dtype=torch.uint8)
    hashes = torch.empty(n, dtype=torch.int64)
    is_held_out = torch.empty(n, dtype=torch.bool)
    at = n_straight = 0
    for batch in dataset.iter(batch_size=1000):
        verdicts, values = [], []
        rows = list(zip(batch["line"], batch["source"], batch["target"], batch["notes"], strict=True))
        for line, source, target, notes in rows:
            reason = _unfit(source, target, config)
            verdicts.append(_KEPT if reason is None else names.index(reason))
            values.append(pair_hash(source, target))
            for note in _notes(source, target, notes):
                report.count(report.noted, note, [line])
            swapped = looks_swapped(source, target, config.source_language, config.target_language)
            n_straight += swapped is False
            if swapped:
                report.count(report.noted, "swapped", [line])
        window = slice(at, at + len(values))
        verdict[window] = torch.tensor(verdicts, dtype=torch.uint8)
        hashes[window] = torch.tensor(values, dtype=torch.int64)
        is_held_out[window] = _find_held_out(report, rows, hashes[window], held_out)
        at += len(values)
    kept = verdict == _KEPT
    verdict[kept & is_held_out] = names.index("held_out")
    verdict[(verdict == _KEPT) & (_repeated(hashes) | torch.isin(hashes, earlier))] = names.index("duplicate")
    for code, name in enumerate(names):
        rows_out = (verdict == code).nonzero().flatten()
        if len(rows_out):
            report.left_out[name] = len(rows_out)
            report.lines[name] = dataset[rows_out[:N_EXAMPLES].tolist()]["line"]
    report.drop_note("swapped", below=max(5, 3 * n_straight))
    report.drop_note("quoted", below=_QUOTED_FRACTION * n)
    return report, (verdict == _KEPT).nonzero().flatten(), hashes


def _find_held_out(
    report: Report, rows: list[tuple[int, str, str, int]], pairs: Tensor, held_out: HeldOut
) -> Tensor:
    """Return a bool tensor that tells for each row whether its source is also in another split.

    In the report, a row is noted in two cases: its source is in another split, but with another translation;
    or another split has a source that differs from the row's source only in punctuation and spaces.
    """
    sources = torch.tensor([source_hash(source) for _, source, _, _ in rows], dtype=torch.int64)
    is_held_out = torch.isin(sources, held_out.sources)
    if len(held_out.sources):
        alike = torch.tensor([alike_hash(source) for _, source, _, _ in rows], dtype=torch.int64)
        for note, is_noted in (
            ("held_out_otherwise", is_held_out & ~torch.isin(pairs, held_out.pairs)),
            ("held_out_alike", ~is_held_out & torch.isin(alike, held_out.alike)),
        ):
            report.count(report.noted, note, [rows[i][0] for i in is_noted.nonzero().flatten().tolist()])
    return is_held_out


def length_ratio(source: str, target: str) -> float:
    """Return (longer length + 10) / (shorter length + 10), where the lengths are in characters.

    Adding 10 keeps the ratio moderate for short texts.
    """
    shorter, longer = sorted((len(source), len(target)))
    return (longer + 10) / (shorter + 10)


def _unfit(source: str, target: str, config: DataConfig) -> str | None:
    """Return the first reason in `REASONS` why a pair is unfit for training, or None if it is fit.

    Reasons that depend on other pairs are not considered.
    """
    if not source.strip() or not target.strip():
        return "empty"
    if max(len(source), len(target)) > config.max_characters:
        return "too_long"
    if length_ratio(source, target) > config.max_length_ratio:
        return "length_ratio"
    return None


def _notes(source: str, target: str, flags: int) -> list[str]:
    """Return the names (in `report.NOTES`) of the notes that apply to a pair.

    Args:
        source: the source of the pair.
        target: the target of the pair.
        flags: the bit flags of the pair from the column `notes`.
    """
    both = source + target
    notes = [note for flag, note in _NOTE_OF_FLAG.items() if flags & flag] if flags else []
    if normalize("NFC", source) != source or normalize("NFC", target) != target:
        notes.append("not_nfc")
    if not both.isprintable() and any(unicodedata.category(character) == "Cc" for character in both):
        notes.append("control")
    if "\u2581" in both:
        notes.append("u2581")
    if source and source == target:
        notes.append("identical")
    return notes


def _repeated(hashes: Tensor) -> Tensor:
    """Return a bool tensor that tells for each row whether an earlier row has the same hash."""
    ordered, rows = torch.sort(hashes, stable=True)
    repeated = torch.zeros(len(hashes), dtype=torch.bool)
    repeated[rows[1:][ordered[1:] == ordered[:-1]]] = True
    return repeated
