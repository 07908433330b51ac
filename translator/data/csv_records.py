"""The records of a table whose fields may be in double quotes (RFC 4180, with any delimiter)."""

import re
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import NamedTuple

from translator.data.lines import MAX_LINE_BYTES, QUOTE, Line, MalformedError


class Record(NamedTuple):
    """A row of a table: the number of its first line (from 1), its fields, and its lines' bit flags."""

    line: int
    fields: list[str]
    notes: int


#: A field whose opening quote is not closed in the rest of the text.
_CSV_OPEN_FIELD = re.compile(r'"(?:[^"]|"")*\Z')


def csv_records(
    path: Path, lines: Iterable[Line | MalformedError], delimiter: str = ","
) -> Iterator[Record | MalformedError]:
    """Yield the records in the lines of a file. In place of a malformed record, yield an error.

    If a quote is never closed, or stands where RFC 4180 does not allow a quote, only the line with this quote
    is treated as malformed. Reading continues with the next line.

    Raises:
        DataError: see `scan_lines`.
    """
    lines = iter(lines)
    # A field, followed by a delimiter or the end of the record. As in `lines`, a `\r` without `\n` is text.
    field = re.compile(rf'(?:"((?:[^"]|"")*)"|([^"{delimiter}\n]*))({delimiter}|\Z)')
    pending: list[Line | MalformedError] = []  # lines to be read again, the next one last
    while (first := pending.pop() if pending else next(lines, None)) is not None:
        if isinstance(first, MalformedError):
            yield first
            continue
        taken, later = [first], []
        n_quotes, n_characters = first.text.count('"'), len(first.text)
        is_open = n_quotes % 2 == 1 and _opens_a_field(first.text, field)
        while is_open and n_quotes % 2 and n_characters <= MAX_LINE_BYTES:
            line = pending.pop() if pending else next(lines, None)
            if not isinstance(line, Line):
                later = [line] if line is not None else []
                break
            taken.append(line)
            n_quotes, n_characters = n_quotes + line.text.count('"'), n_characters + len(line.text)
        # A line break inside a quoted field does not end the record. It becomes `\n` in the field. If it was
        # CR LF, the notes of the record have the flag `CRLF`.
        fields = _csv_fields("\n".join(line.text for line in taken), field)
        if isinstance(fields, list):
            yield Record(first.number, fields, reduce(or_, (line.notes for line in taken)))
            pending += later
        else:
            pending += [*later, *reversed(taken[1:])]
            problem = (
                "the quote opened here is never closed"
                if is_open
                else f"a quote where RFC 4180 allows none, after {first.text[fields : fields + 20]!r}"
            )
            advice = (
                "it looks like JSON Lines, so set data.format=jsonl"
                if first.text.startswith("{")
                else 'quote the whole field and write a quote in it as ""'
            )
            yield MalformedError(first.number, QUOTE, f"{path}:{first.number}: {problem}; {advice}")


def _opens_a_field(record: str, field: re.Pattern[str]) -> bool:
    """Return whether the last field has an unclosed quote and therefore continues on the next line."""
    stopped = _csv_fields(record, field)
    return isinstance(stopped, int) and _CSV_OPEN_FIELD.match(record, stopped) is not None


def _csv_fields(record: str, field: re.Pattern[str]) -> list[str] | int:
    """Return the fields of a record or, if a field is malformed, the index at which this field starts."""
    fields: list[str] = []
    at = 0
    while True:
        match = field.match(record, at)
        if match is None:
            return at
        quoted, unquoted, end = match.groups()
        fields.append(unquoted if quoted is None else quoted.replace('""', '"'))
        at = match.end()
        if not end:
            return fields
