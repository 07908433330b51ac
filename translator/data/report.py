"""The report on the checks of a split: how many rows are left out of training or only noted, and why."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from translator.data import lines
from translator.errors import DataError

#: Maximum number of lines that a report lists as examples of each reason or note.
N_EXAMPLES = 10

#: Maps each reason for leaving out a pair to its description. If several reasons apply to a pair, only the
#: first is counted.
REASONS = {
    "invalid_utf8": "malformed: not valid UTF-8, or not in data.encoding",
    "long_line": f"malformed: a line of more than {lines.MAX_LINE_BYTES:,} bytes",
    "columns": "malformed: too few or too many columns",
    "quote": "malformed: a quote that is never closed, or where CSV allows none",
    "invalid_json": "malformed: not valid JSON",
    "no_text": "malformed: a side is missing, null or not text",
    "surrogate": "malformed: half a surrogate pair",
    "unfinished": "an entry marked as fuzzy, obsolete or not yet translated",
    "empty": "a side is empty or blank",
    "too_long": "a side is longer than data.max_characters",
    "length_ratio": "the sides' lengths differ by more than data.max_length_ratio",
    "held_out": "the source also stands in another split, capitals aside",
    "duplicate": "the same pair occurs earlier",
    "too_many_pieces": "a side is longer than model.max_length pieces",
}

#: Maps the `problem` of a malformed row to the reason (in `REASONS`) for leaving it out.
_MALFORMED = {
    lines.UTF8: "invalid_utf8",
    lines.LONG: "long_line",
    lines.COLUMNS: "columns",
    lines.QUOTE: "quote",
    lines.JSON: "invalid_json",
    lines.NO_TEXT: "no_text",
    lines.SURROGATE: "surrogate",
    lines.UNFINISHED: "unfinished",
}

#: Maps each note to its description. A note is an oddity that is counted but does not cause the pair to be
#: left out. The reader removes the first three oddities from the text.
NOTES = {
    "crlf": "lines ended in CR LF (removed)",
    "bom": "file started with a byte order mark (removed)",
    "markup": "inline markup inside a segment (removed)",
    "not_nfc": "text is not in Unicode form NFC (left as it is)",
    "control": "text holds a control character (left as it is)",
    "u2581": "text holds U+2581, SentencePiece's word mark (escaped)",
    "identical": "both sides are the same text",
    "entity": "text holds an HTML entity such as &apos; or &#39; (left as it is)",
    "tokenised": "text holds a tokeniser's mark such as @-@ or @@ (left as it is)",
    "mojibake": "text looks like UTF-8 read as Windows-1252, such as Ã© for é (left as it is)",
    "invisible": "text holds a soft hyphen, a byte order mark or a space without width",
    "quoted": "a side is in double quotes, like a field of a table (left as it is)",
    "swapped": "source and target look swapped; see data.columns, or data.files",
    "held_out_otherwise": "the source also stands in another split, with another translation",
    "held_out_alike": "the source also stands in another split, punctuation and spaces aside (kept)",
}


@dataclass
class Report:
    """The result of checking a split.

    Attributes:
        n_pairs: number of pairs in the split.
        left_out: maps each reason to the number of pairs that are left out of training for this reason.
        noted: maps each note to the number of pairs to which it applies.
        lines: maps each reason and each note to the line numbers (from 1) of the first pairs concerned.
        sources: with `data.sources`, the report of each source by name. The report itself then has no lines.
    """

    n_pairs: int
    left_out: dict[str, int] = field(default_factory=dict)
    noted: dict[str, int] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)
    sources: dict[str, "Report"] = field(default_factory=dict)

    @classmethod
    def of_sources(cls, sources: dict[str, "Report"]) -> "Report":
        """Return the report on all sources together. A source without a name is the only one."""
        if "" in sources:
            return sources[""]
        total = cls(sum(report.n_pairs for report in sources.values()), sources=sources)
        for report in sources.values():
            for ours, counts in ((total.left_out, report.left_out), (total.noted, report.noted)):
                for name, n in counts.items():
                    ours[name] = ours.get(name, 0) + n
        return total

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "Report":
        """Return the report that `asdict` saved."""
        sources = {name: cls.from_dict(report) for name, report in saved.get("sources", {}).items()}
        return cls(**{**saved, "sources": sources})

    @property
    def n_kept(self) -> int:
        """Number of pairs that are kept for training."""
        return self.n_pairs - sum(self.left_out.values())

    def count(self, kind: dict[str, int], name: str, at: Iterable[int]) -> None:
        """Add the pairs on the given lines to the count of a reason or note.

        Args:
            kind: `self.left_out` for a reason, `self.noted` for a note.
            name: the reason or note.
            at: line number of each pair.
        """
        for line in at:
            kind[name] = kind.get(name, 0) + 1
            examples = self.lines.setdefault(name, [])
            if len(examples) < N_EXAMPLES:
                examples.append(line)

    def drop_note(self, name: str, *, below: float) -> None:
        """Remove a note from the report if it applies to fewer than `below` pairs."""
        if self.noted.get(name, 0) < below:
            self.noted.pop(name, None)
            self.lines.pop(name, None)

    def count_malformed(self, rows: Any) -> None:
        """Add malformed rows to the counts. `rows` is a table with the columns `line` and `problem`."""
        self.n_pairs += len(rows)
        for batch in rows.iter(batch_size=1000):
            for line, problem in zip(batch["line"], batch["problem"], strict=True):
                self.count(self.left_out, _MALFORMED[problem], [line])

    def reasons(self) -> list[str]:
        """Return a description of each reason for which pairs were left out, with count and first lines."""
        if self.sources:
            return [f"{name}: {line}" for name, part in self.sources.items() for line in part.reasons()]
        return self._descriptions(REASONS, self.left_out)

    def messages(self) -> list[str]:
        """Return a description of each reason and each note that applies, with count and first lines."""
        if self.sources:
            return [f"{name}: {line}" for name, part in self.sources.items() for line in part.messages()]
        noted = self._descriptions(NOTES, self.noted)
        return [*(f"left out: {reason}" for reason in self.reasons()), *(f"noted: {note}" for note in noted)]

    def _descriptions(self, words: dict[str, str], counts: dict[str, int]) -> list[str]:
        first = {name: ", ".join(map(str, self.lines[name])) for name in counts}
        more = {name: " …" if n > len(self.lines[name]) else "" for name, n in counts.items()}
        return [
            f"{what}: {counts[name]} (lines {first[name]}{more[name]})"
            for name, what in words.items()
            if name in counts
        ]


def report_malformed(n_pairs: int, rows: Any) -> Report:
    """Return the report on a split for evaluation: its number of pairs, and its malformed rows."""
    report = Report(n_pairs)
    report.count_malformed(rows)
    return report


def refuse_unfit(report: Report, split: str) -> None:
    """Check that no row of a split is left out, as the option `data.strict` demands.

    Raises:
        DataError: a row is left out. The message names each reason with its count and first line numbers.
    """
    if report.left_out:
        raise DataError(
            f"data.strict: {sum(report.left_out.values()):,} of {report.n_pairs:,} rows of {split} are "
            f"unfit; {'; '.join(report.reasons())}; fix or remove them"
        )
