"""The records of a comma-separated file by RFC 4180."""

import re
from collections.abc import Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import NamedTuple

from translator.data.lines import MAX_LINE_BYTES, QUOTE, Line, MalformedError, scan_lines


class Record(NamedTuple):
    """A row of a table: the line it begins on, from 1, its fields, and what was taken off its lines."""

    line: int
    fields: list[str]
    notes: int


#: One field by RFC 4180, with what ends it. A lone `\r` is text, as everywhere here.
_CSV_FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\Z)')
_CSV_OPEN_FIELD = re.compile(r'"(?:[^"]|"")*\Z')


def csv_records(path: Path) -> Iterator[Record | MalformedError]:
    """Yield the records of a file, a malformed one as what is wrong with it.

    A quote that is never closed, or stands where RFC 4180 allows none, spoils its own line alone: reading
    goes on with the next one.

    Raises:
        DataError: as `scan_lines`.
    """
    lines = scan_lines(path)
    again: list[Line | MalformedError] = []  # lines to be read anew, the next one last
    while (first := again.pop() if again else next(lines, None)) is not None:
        if isinstance(first, MalformedError):
            yield first
            continue
        taken, later = [first], []
        n_quotes, n_characters = first.text.count('"'), len(first.text)
        is_open = n_quotes % 2 == 1 and _opens_a_field(first.text)
        while is_open and n_quotes % 2 and n_characters <= MAX_LINE_BYTES:
            line = again.pop() if again else next(lines, None)
            if not isinstance(line, Line):
                later = [line] if line is not None else []
                break
            taken.append(line)
            n_quotes, n_characters = n_quotes + line.text.count('"'), n_characters + len(line.text)
        # A CRLF inside a quoted field ends no record; it becomes `\n` and is counted.
        fields = _csv_fields("\n".join(line.text for line in taken))
        if isinstance(fields, list):
            yield Record(first.number, fields, reduce(or_, (line.notes for line in taken)))
            again += later
        else:
            again += [*later, *reversed(taken[1:])]
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


def _opens_a_field(record: str) -> bool:
    """Whether a record goes on in the next line: its last field begins with a quote that is not closed."""
    stopped = _csv_fields(record)
    return isinstance(stopped, int) and _CSV_OPEN_FIELD.match(record, stopped) is not None


def _csv_fields(record: str) -> list[str] | int:
    """The fields of a record, or the place of the first that is none."""
    fields, at, end = [], 0, ","
    while end == ",":
        match = _CSV_FIELD.match(record, at)
        if match is None:
            return at
        quoted, plain, end = match.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        at = match.end()
    return fields
