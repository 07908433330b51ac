"""Checks of a corpus: which pairs are unfit for training or only suspicious, and why.

The two sides of a pair are kept or left out together. Memory use is 18 bytes per pair plus the sort of the
hashes, whatever the length of the texts.
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

#: Bit flag of the column `notes` → name of the note.
_NOTE_OF_FLAG = {
    lines.CRLF: "crlf",
    lines.BOM: "bom",
    oddities.ENTITY: "entity",
    oddities.TOKENISED: "tokenised",
    oddities.MOJIBAKE: "mojibake",
    oddities.INVISIBLE: "invisible",
    oddities.QUOTED: "quoted",
}

#: Quoted sides are noted if at least this fraction of the pairs has one; a few may be direct speech.
_QUOTED_FRACTION = 0.02

_KEPT = len(REASONS)


def pair_hash(source: str, target: str) -> int:
    """Return a signed 64-bit hash of a pair; a collision among 40 million pairs has odds of 1 in 20,000."""
    return _hash(f"{len(source)}\n{source}{target}")


def source_hash(source: str) -> int:
    """Return a signed 64-bit hash of a source that ignores case."""
    return _hash(source.casefold())


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def alike_hash(source: str) -> int:
    """Return a signed 64-bit hash of a source that ignores punctuation, spaces and case."""
    return _hash(_NON_WORD.sub("", source.casefold()))


class HeldOut(NamedTuple):
    """Hashes of the pairs of other splits; each tensor is (N,) int64."""

    sources: Tensor
    pairs: Tensor
    alike: Tensor


def hash_held_out(datasets: Iterable[Any]) -> HeldOut:
    """Return the hashes of all pairs of some splits."""
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


def check_pairs(dataset: Any, config: DataConfig, held_out: HeldOut) -> tuple[Report, Tensor]:
    """Check every pair of a training split.

    Args:
        dataset: columns `line`, `source`, `target`, `notes`.
        config: the limits.
        held_out: hashes of the pairs of the other splits.

    Returns:
        The report, and the row numbers of the pairs fit for training: int64, ascending.
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
    verdict[(verdict == _KEPT) & _repeated(hashes)] = names.index("duplicate")
    for code, name in enumerate(names):
        rows_out = (verdict == code).nonzero().flatten()
        if len(rows_out):
            report.left_out[name] = len(rows_out)
            report.lines[name] = dataset[rows_out[:N_EXAMPLES].tolist()]["line"]
    report.drop_note("swapped", below=max(5, 3 * n_straight))
    report.drop_note("quoted", below=_QUOTED_FRACTION * n)
    return report, (verdict == _KEPT).nonzero().flatten()


def _find_held_out(
    report: Report, rows: list[tuple[int, str, str, int]], pairs: Tensor, held_out: HeldOut
) -> Tensor:
    """Return whether each row's source is in another split (bool).

    Sources that are in another split with another translation, or with other punctuation, are noted.
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
    """Return (longer + 10) / (shorter + 10) in characters; the 10 avoids extreme ratios of short texts."""
    shorter, longer = sorted((len(source), len(target)))
    return (longer + 10) / (shorter + 10)


def _unfit(source: str, target: str, config: DataConfig) -> str | None:
    """Return the first reason, as in `REASONS`, for which a pair by itself is unfit for training."""
    if not source.strip() or not target.strip():
        return "empty"
    if max(len(source), len(target)) > config.max_characters:
        return "too_long"
    if length_ratio(source, target) > config.max_length_ratio:
        return "length_ratio"
    return None


def _notes(source: str, target: str, flags: int) -> list[str]:
    """Return the notes, as in `NOTES`, on a pair; `flags` were set when it was read."""
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
    """Return whether each row's hash occurs in an earlier row (bool)."""
    ordered, rows = torch.sort(hashes, stable=True)
    repeated = torch.zeros(len(hashes), dtype=torch.bool)
    repeated[rows[1:][ordered[1:] == ordered[:-1]]] = True
    return repeated
