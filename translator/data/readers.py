"""Text files into rows, without changing the text.

A line ends at `\\n` and nowhere else: U+2028, U+0085 and a lone `\\r` are text. A `\\r\\n` ending and a
byte order mark at the start of a file are taken off and noted. Nothing is normalised.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from translator.errors import DataError

#: Bits of `Line.notes`: what was taken off this line.
CRLF, BOM = 1, 2

#: A CSV record longer than this many bytes is taken for one with an unclosed quote.
MAX_RECORD_BYTES = 1_000_000


class Line(NamedTuple):
    """One line of a file: its number from 1, its text without the ending, and what was taken off."""

    number: int
    text: str
    notes: int


class Row(NamedTuple):
    """One pair: the line it begins on, from 1, both sides, and what was taken off its lines."""

    line: int
    source: str
    target: str
    notes: int


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """Open a plain or gzipped file, told apart by its first two bytes; once, so that a pipe will do."""
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] == b"\x1f\x8b":
                with gzip.open(file) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check data.root and data.files") from None


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a UTF-8 file.

    Raises:
        DataError: the file cannot be read, or is no valid UTF-8 (names file, line and byte).
    """
    with open_binary(path) as file:
        number = 0
        try:
            for number, raw in enumerate(file, start=1):
                yield _line(path, number, raw)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise DataError(f"{path}:{number + 1}: damaged gzip file: {error}; fetch it again") from None


def _line(path: Path, number: int, raw: bytes) -> Line:
    notes = 0
    if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
        raw, notes = raw[3:], BOM
    if raw.endswith(b"\r\n"):
        raw, notes = raw[:-2], notes | CRLF
    elif raw.endswith(b"\n"):
        raw = raw[:-1]
    try:
        return Line(number, raw.decode("utf-8"), notes)
    except UnicodeDecodeError as error:
        at = error.start + 1 + (3 if notes & BOM else 0)
        raise DataError(
            f"{path}:{number}: byte {at} of the line (0x{raw[error.start]:02x}) is no valid UTF-8; "
            "convert the file to UTF-8"
        ) from None


def read_parallel(source: Path, target: Path) -> Iterator[Row]:
    """Yield the pairs of two files with one sentence a line.

    Raises:
        DataError: as `read_lines`; or the files differ in length (names both counts).
    """
    n_source = n_target = 0
    for ours, theirs in zip_longest(read_lines(source), read_lines(target)):
        n_source += ours is not None
        n_target += theirs is not None
        if ours is not None and theirs is not None:
            yield Row(ours.number, ours.text, theirs.text, ours.notes | theirs.notes)
    if n_source != n_target:
        raise DataError(
            f"{source} has {n_source} lines and {target} has {n_target}; line n of the one must translate "
            "line n of the other, so find the missing line"
        )


def read_tsv(path: Path, source: str | int, target: str | int) -> Iterator[Row]:
    """Yield the pairs of a tab-separated file; a quote is text like any other.

    Args:
        path: the file.
        source: name of the column in the header line, or its place from 1 where there is no header.
        target: the same for the other side.

    Raises:
        DataError: as `read_lines`; a column that is not there; a line with too few columns.
    """
    rows = ((line.number, line.text.split("\t"), line.notes) for line in read_lines(path))
    return _columns(path, rows, source, target)


def read_csv(path: Path, source: str | int, target: str | int) -> Iterator[Row]:
    """Yield the pairs of a comma-separated file by RFC 4180; see `read_tsv` for the columns.

    Raises:
        DataError: as `read_tsv`; a quote inside an unquoted field or never closed.
    """
    return _columns(path, _csv_records(path), source, target)


#: One field by RFC 4180, with what ends it. A lone `\r` is text, as everywhere here.
_CSV_FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\Z)')


def _csv_records(path: Path) -> Iterator[tuple[int, list[str], int]]:
    start, pending, notes, is_open = 0, "", 0, False
    for line in read_lines(path):
        if is_open:
            pending += "\n" + line.text
            # A CRLF inside a quoted field ends no record; it becomes `\n` and is counted.
        else:
            start, pending, notes = line.number, line.text, 0
        notes |= line.notes
        is_open ^= line.text.count('"') % 2 == 1
        if not is_open:
            yield start, _csv_fields(path, start, pending), notes
        elif len(pending) > MAX_RECORD_BYTES:
            break
    if is_open:
        raise DataError(f'{path}:{start}: the quote opened here is never closed; write a quote as ""')


def _csv_fields(path: Path, number: int, record: str) -> list[str]:
    fields, at, end = [], 0, ","
    while end == ",":
        match = _CSV_FIELD.match(record, at)
        if match is None:
            raise DataError(
                f"{path}:{number}: a quote where RFC 4180 allows none, after {record[at : at + 20]!r}; "
                'quote the whole field and write a quote in it as ""'
            )
        quoted, plain, end = match.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        at = match.end()
    return fields


def _columns(
    path: Path, rows: Iterator[tuple[int, list[str], int]], source: str | int, target: str | int
) -> Iterator[Row]:
    header_notes = 0
    if isinstance(source, int) and isinstance(target, int):
        places = (source - 1, target - 1)
    else:
        _, header, header_notes = next(rows, (1, [], 0))
        for name in (source, target):
            if name not in header:
                raise DataError(
                    f"{path}:1: no column {name!r}; the header has {', '.join(header) or 'nothing'}; set "
                    "data.columns to two of them, or to places from 1 where the file has no header"
                )
        places = (header.index(str(source)), header.index(str(target)))
    for number, fields, notes in rows:
        if len(fields) <= max(places):
            raise DataError(
                f"{path}:{number}: {len(fields)} columns, and data.columns needs {max(places) + 1}; "
                "mend the line"
            )
        # A byte order mark before the header is counted at the first pair.
        yield Row(number, fields[places[0]], fields[places[1]], notes | (header_notes & BOM))
        header_notes = 0


def read_jsonl(path: Path, source: str, target: str) -> Iterator[Row]:
    """Yield the pairs of a JSON Lines file: an object a line with two texts, or with `translation`.

    Raises:
        DataError: as `read_lines`; a line that is no object or lacks a text.
    """
    for line in read_lines(path):
        try:
            record = json.loads(line.text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{line.number}: no valid JSON: {error}") from None
        pair = pair_of(record, source, target, where=f"{path}:{line.number}")
        yield Row(line.number, *pair, line.notes)


def pair_of(record: object, source: str, target: str, *, where: str) -> tuple[str, str]:
    """Take the two texts out of a record with two columns, or with a map `translation` of both.

    Raises:
        DataError: one of them is not there or no text; the message begins with `where`.
    """
    if (
        isinstance(record, Mapping)
        and source not in record
        and isinstance(record.get("translation"), Mapping)
    ):
        record = record["translation"]
    if not isinstance(record, Mapping):
        raise DataError(f"{where}: no record with columns {source!r} and {target!r}")
    for name in (source, target):
        if name not in record:
            known = ", ".join(map(str, record)) or "nothing"
            raise DataError(
                f"{where}: no column {name!r}; there are: {known}; set data.columns to two of them"
            )
        text = record[name]
        if not isinstance(text, str):
            held = json.dumps(text, default=repr)[:40]
            raise DataError(f"{where}: column {name!r} holds {held}, not text; mend the row")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise DataError(f"{where}: column {name!r} holds half a surrogate pair; mend the row")
    return str(record[source]), str(record[target])
