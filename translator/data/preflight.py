"""What is wrong with a corpus: which pairs are left out of training, which only noted, and why.

A pair is judged and left out as a pair, never a side alone. Memory is 18 bytes a pair plus the sort of
the hashes, whatever the length of the text.
"""

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from translator.config import DataConfig
from translator.data.readers import BOM, CRLF

#: Line numbers kept for each reason.
N_EXAMPLES = 10

#: Why a training pair is left out; the first that holds is counted.
REASONS = {
    "empty": "a side is empty or blank",
    "too_long": "a side is longer than data.max_characters",
    "length_ratio": "the sides' lengths differ by more than data.max_length_ratio",
    "held_out": "the source also stands in another split, capitals aside",
    "duplicate": "the same pair came before",
    "too_many_pieces": "a side is longer than model.max_length pieces",
}

#: What is counted and left as it is (or was taken off, for the first two).
NOTES = {
    "crlf": "lines ended in CR LF (taken off)",
    "bom": "file began with a byte order mark (taken off)",
    "not_nfc": "text is not in Unicode form NFC (left as it is)",
    "control": "text holds a control character (left as it is)",
    "u2581": "text holds U+2581, SentencePiece's word mark (escaped)",
    "identical": "both sides are the same text",
}

_KEPT = len(REASONS)


@dataclass
class Report:
    """What a look at one split found.

    Attributes:
        n_pairs: pairs of the split.
        left_out: reason → number of pairs left out of training.
        noted: note → number of pairs it holds for.
        lines: reason or note → the first line numbers, from 1.
    """

    n_pairs: int
    left_out: dict[str, int] = field(default_factory=dict)
    noted: dict[str, int] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)

    @property
    def n_kept(self) -> int:
        """Pairs that training sees."""
        return self.n_pairs - sum(self.left_out.values())

    def count(self, kind: dict[str, int], name: str, lines: Iterable[int]) -> None:
        """Add to one of the counts, keeping the first line numbers."""
        examples = self.lines.setdefault(name, [])
        for line in lines:
            kind[name] = kind.get(name, 0) + 1
            if len(examples) < N_EXAMPLES:
                examples.append(line)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return (what, number of pairs, first lines) for a table."""
        words = REASONS | NOTES
        counts = [("left out: ", self.left_out), ("noted: ", self.noted)]
        return [
            (prefix + words[name], str(number), ", ".join(map(str, self.lines[name])))
            for prefix, kind in counts
            for name, number in kind.items()
        ]


def pair_hash(source: str, target: str) -> int:
    """Return a signed 64-bit hash of a pair (two pairs of 40 million share one with odds of 1 in 20,000)."""
    return _hash(f"{len(source)}\n{source}{target}")


def source_hash(source: str) -> int:
    """Return a signed 64-bit hash of a source that is the same in capitals and in lower case."""
    return _hash(source.casefold())


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def hash_sources(dataset: Any) -> Tensor:
    """Return the hash of each source of a split, (N,) int64."""
    hashes = torch.empty(len(dataset), dtype=torch.int64)
    at = 0
    for batch in dataset.iter(batch_size=1000):
        values = [source_hash(source) for source in batch["source"]]
        hashes[at : at + len(values)] = torch.tensor(values, dtype=torch.int64)
        at += len(values)
    return hashes


def check_pairs(dataset: Any, config: DataConfig, held_out: Tensor) -> tuple[Report, Tensor]:
    """Judge every pair of a training split.

    Args:
        dataset: columns `line`, `source`, `target`, `notes`.
        config: the limits.
        held_out: hashes of the sources of the other splits, int64.

    Returns:
        The report, and the row numbers of the pairs fit for training, int64, rising.
    """
    n = len(dataset)
    report = Report(n)
    names = list(REASONS)
    verdict = torch.empty(n, dtype=torch.uint8)
    hashes = torch.empty(n, dtype=torch.int64)
    is_held_out = torch.empty(n, dtype=torch.bool)
    at = 0
    for batch in dataset.iter(batch_size=1000):
        verdicts, values = [], []
        rows = zip(batch["line"], batch["source"], batch["target"], batch["notes"], strict=True)
        for line, source, target, notes in rows:
            reason = _unfit(source, target, config)
            verdicts.append(_KEPT if reason is None else names.index(reason))
            values.append(pair_hash(source, target))
            for note in _notes(source, target, notes):
                report.count(report.noted, note, [line])
        window = slice(at, at + len(values))
        verdict[window] = torch.tensor(verdicts, dtype=torch.uint8)
        hashes[window] = torch.tensor(values, dtype=torch.int64)
        sources = torch.tensor([source_hash(source) for source in batch["source"]], dtype=torch.int64)
        is_held_out[window] = torch.isin(sources, held_out)
        at += len(values)
    kept = verdict == _KEPT
    verdict[kept & is_held_out] = names.index("held_out")
    verdict[(verdict == _KEPT) & _repeated(hashes)] = names.index("duplicate")
    for code, name in enumerate(names):
        rows_out = (verdict == code).nonzero().flatten()
        if len(rows_out):
            report.left_out[name] = len(rows_out)
            report.lines[name] = dataset[rows_out[:N_EXAMPLES].tolist()]["line"]
    return report, (verdict == _KEPT).nonzero().flatten()


def length_ratio(source: str, target: str) -> float:
    """Return (longer + 10) / (shorter + 10) in characters; the 10 spares short pairs such as Oui / Yes."""
    shorter, longer = sorted((len(source), len(target)))
    return (longer + 10) / (shorter + 10)


def _unfit(source: str, target: str, config: DataConfig) -> str | None:
    if not source.strip() or not target.strip():
        return "empty"
    if max(len(source), len(target)) > config.max_characters:
        return "too_long"
    if length_ratio(source, target) > config.max_length_ratio:
        return "length_ratio"
    return None


def _notes(source: str, target: str, notes: int) -> list[str]:
    both = source + target
    found = []
    if notes & CRLF:
        found.append("crlf")
    if notes & BOM:
        found.append("bom")
    if not (unicodedata.is_normalized("NFC", source) and unicodedata.is_normalized("NFC", target)):
        found.append("not_nfc")
    if not both.isprintable() and any(unicodedata.category(character) == "Cc" for character in both):
        found.append("control")
    if "\u2581" in both:
        found.append("u2581")
    if source and source == target:
        found.append("identical")
    return found


def _repeated(hashes: Tensor) -> Tensor:
    """True at every row whose hash stands in an earlier row."""
    in_order, rows = torch.sort(hashes, stable=True)
    repeated = torch.zeros(len(hashes), dtype=torch.bool)
    if len(hashes):
        repeated[rows[1:][in_order[1:] == in_order[:-1]]] = True
    return repeated
