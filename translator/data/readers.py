"""Functions that read sentence pairs from text files and tables. They leave the text unchanged.

In place of a row that is not a pair of texts, such a function yields a `MalformedError` and continues. Blank
lines are skipped, except in parallel files, where they count as (empty) texts.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from translator.data.csv_records import Record, csv_records
from translator.data.lines import (
    BOM,
    COLUMNS,
    JSON,
    NO_TEXT,
    SURROGATE,
    Line,
    MalformedError,
    replace_surrogates,
    scan_lines,
)
from translator.errors import DataError

#: If a table has no header, its number of columns is inferred from at most this many rows at its start.
N_FIRST_ROWS = 1000
#: The line with which Excel is told the delimiter.
SEPARATOR_LINE = re.compile(r'"?sep=([,;\t])"?')


class Row(NamedTuple):
    """A pair: the number of its first line (from 1), its two texts, and the bit flags of its lines."""

    line: int
    source: str
    target: str
    notes: int


def read_parallel(source: Path, target: Path, encoding: str = "utf-8") -> Iterator[Row | MalformedError]:
    """Yield the pairs of two parallel files: line n of one file is the translation of line n of the other.

    Raises:
        DataError: see `scan_lines`. Also raised if the files differ in number of lines.
    """
    n_source = n_target = 0
    for left, right in zip_longest(scan_lines(source, encoding), scan_lines(target, encoding)):
        n_source += left is not None
        n_target += right is not None
        if type(left) is Line and type(right) is Line:  # comparing the types is faster than `isinstance`
            yield Row(left.number, left.text, right.text, left.notes | right.notes)
        elif left is not None and right is not None:
            yield next(line for line in (left, right) if isinstance(line, MalformedError))
    if n_source != n_target:
        raise DataError(
            f"{source} has {n_source} lines and {target} has {n_target}; line n of one must translate "
            "line n of the other, so find the missing line"
        )


def read_table(
    path: Path,
    source: str | int,
    target: str | int,
    *,
    delimiter: str = ",",
    quoted: bool = True,
    encoding: str = "utf-8",
) -> Iterator[Row | MalformedError]:
    """Yield the pairs of a table with one row per line.

    A row is malformed if it is too short to have both the source column and the target column. It is also
    malformed if it has more columns than the header, unless the surplus columns are empty. If the file has
    no header, the most frequent number of columns in the first `N_FIRST_ROWS` rows is used in place of the
    header's number of columns. If a quote stands where RFC 4180 does not allow a quote, only the line with
    this quote is malformed.

    Args:
        path: the file.
        source: name of the source column in the header or, if the file has no header, its number, counted
            from 1.
        target: name or number of the target column; see `source`.
        delimiter: the character between columns. Excel's line `sep=;` at the start of the file goes before.
        quoted: whether fields may be in double quotes; otherwise, quotes have no special meaning.
        encoding: encoding of the file.

    Raises:
        DataError: see `scan_lines`. Also raised if the header is missing or malformed, or if it does not
            contain both names.
    """
    lines = scan_lines(path, encoding)
    first = list(islice(lines, 1))
    if first and isinstance(first[0], Line) and (match := SEPARATOR_LINE.fullmatch(first[0].text)):
        first, delimiter = [], match[1]
    lines = chain(first, lines)
    if quoted:
        return columns(path, csv_records(path, lines, delimiter), source, target)
    records = (
        line
        if isinstance(line, MalformedError)
        else Record(line.number, line.text.split(delimiter), line.notes)
        for line in lines
    )
    return columns(path, records, source, target)


def columns(
    path: Path, records: Iterator[Record | MalformedError], source: str | int, target: str | int
) -> Iterator[Row | MalformedError]:
    """Yield the pairs in the records of a table; see `read_table`."""
    records = (row for row in records if isinstance(row, MalformedError) or not _is_blank(row.fields))
    header_notes = 0
    if isinstance(source, int) and isinstance(target, int):
        first_rows = list(islice(records, N_FIRST_ROWS))
        widths = Counter(len(row.fields) for row in first_rows if isinstance(row, Record))
        width = widths.most_common(1)[0][0] if widths else 0
        records = chain(first_rows, records)
        indices = [source - 1, target - 1]
        _check_separator(path, first_rows)
    else:
        header = next(records, None)
        if header is None:
            raise DataError(f"{path} is empty; name a file that has pairs")
        if isinstance(header, MalformedError):
            raise header
        indices = [_column_index(path, header, name) for name in (source, target)]
        width, header_notes = len(header.fields), header.notes & BOM
    for row in records:
        if isinstance(row, MalformedError):
            yield row
            continue
        fields = row.fields
        if len(fields) <= max(indices) or (len(fields) > width and any(fields[width:])):
            n_columns = f"{len(fields)} column{'s' if len(fields) > 1 else ''}"
            needed = f"data.columns needs {max(indices) + 1}" if len(fields) <= max(indices) else ""
            problem = f"{n_columns}, and {needed or f'the file has {width}'}"
            advice = _other_separator(fields) or "fix the line"
            yield MalformedError(row.line, COLUMNS, f"{path}:{row.line}: {problem}; {advice}")
            continue
        # If there is a byte order mark before the header, the first pair gets the flag `BOM`, because the
        # header does not become a `Row`.
        yield Row(row.line, fields[indices[0]], fields[indices[1]], row.notes | header_notes)
        header_notes = 0


def _is_blank(fields: list[str]) -> bool:
    return len(fields) == 1 and not fields[0].strip()


def _column_index(path: Path, header: Record, name: str | int) -> int:
    if header.fields.count(str(name)) > 1:
        raise DataError(f"{path}:{header.line}: the header has {name!r} twice; rename one of the columns")
    if name in header.fields:
        return header.fields.index(str(name))
    advice = _other_separator(header.fields) or (
        "set data.columns to two of them, or to numbers from 1 if the file has no header"
    )
    raise DataError(
        f"{path}:{header.line}: no column {name!r}; the header has {', '.join(header.fields)}; {advice}"
    )


def _check_separator(path: Path, rows: list[Record | MalformedError]) -> None:
    """Raise an error if the columns of a table without a header seem to have an unexpected separator.

    Raises:
        DataError: an unexpected separator is in each of the first rows and seems to separate their columns.
    """
    fields = [row.fields for row in rows if isinstance(row, Record)]
    has_unsplit_row = any(len(row) == 1 for row in fields)
    for separator in ("\t", ";", "|"):
        counts = {sum(field.count(separator) for field in row) for row in fields}
        is_regular = separator == "\t" or has_unsplit_row or (len(counts) == 1 and len(fields) >= 5)
        if 0 not in counts and is_regular and len(fields) > 1:
            unsplit = next((row for row in fields if len(row) == 1), [separator])
            raise DataError(f"{path}: {_other_separator(unsplit)}")


def _other_separator(fields: list[str]) -> str:
    """Return advice to the user if a row was not split and seems to use another separator or format.

    Otherwise, return an empty string.
    """
    if len(fields) > 1:
        return ""
    if fields[0].startswith("{"):
        return "it looks like JSON Lines, so set data.format=jsonl"
    if "\t" in fields[0]:
        return "it looks separated by tabs, so set data.format=tsv"
    if ";" in fields[0]:
        return "it looks separated by semicolons, so set data.delimiter=semicolon"
    for separator in ("|||", "|"):
        if separator in fields[0]:
            return f"it looks separated by {separator!r}, so rewrite the file with tabs or commas"
    return "it looks separated by commas, so set data.format=csv" if "," in fields[0] else ""


def read_jsonl(
    path: Path, source: str, target: str, encoding: str = "utf-8"
) -> Iterator[Row | MalformedError]:
    """Yield the pairs of a JSON Lines file, in which each line is an object that `pair_of` accepts.

    Raises:
        DataError: see `scan_lines`.
    """
    for line in scan_lines(path, encoding):
        if isinstance(line, MalformedError):
            yield line
        elif line.text.strip():
            where = f"{path}:{line.number}"
            try:
                pair = pair_of(json.loads(line.text), source, target, line=line.number, where=where)
                yield Row(line.number, *pair, line.notes)
            except MalformedError as error:
                yield error
            except (ValueError, RecursionError) as error:
                # If an integer is too long, the message has a semicolon and then advice to raise Python's
                # limit on digits. Remove this advice.
                reason = str(error).partition(";")[0]
                yield MalformedError(line.number, JSON, f"{where}: not valid JSON: {reason}")


def read_records(
    batches: Iterable[Mapping[str, list[object]]], source: str, target: str, *, where: str
) -> Iterator[Row | MalformedError]:
    """Yield the pairs of a table.

    Args:
        batches: the rows of the table in batches. A batch maps the name of each column to its values.
        source: name of the source column.
        target: name of the target column.
        where: name of the table. Error messages contain it, together with a row number (from 1).
    """
    rows = (
        dict(zip(batch, row, strict=True)) for batch in batches for row in zip(*batch.values(), strict=True)
    )
    for number, record in enumerate(rows, start=1):
        try:
            yield Row(
                number, *pair_of(record, source, target, line=number, where=f"{where}, row {number}"), 0
            )
        except MalformedError as error:
            yield error


def pair_of(record: object, source: str, target: str, *, line: int, where: str) -> tuple[str, str]:
    """Return the source and the target of a record.

    Args:
        record: a map with the source text under the key given by `source` and the target text under the key
            given by `target`, or a map that has such a map under the key "translation".
        source: key of the source text.
        target: key of the target text.
        line: line number of the record, which the error will have as its attribute `line`.
        where: the words with which the error message starts.

    Raises:
        MalformedError: the record is not a map, or one of its texts is missing, is not a string, or has a
            lone surrogate.
    """
    if (
        isinstance(record, Mapping)
        and source not in record
        and isinstance(record.get("translation"), Mapping)
    ):
        record = record["translation"]
    if not isinstance(record, Mapping):
        raise MalformedError(line, NO_TEXT, f"{where}: not a record with columns {source!r} and {target!r}")
    for name in (source, target):
        if name not in record:
            known = ", ".join(map(str, record)) or "nothing"
            raise MalformedError(
                line,
                NO_TEXT,
                f"{where}: no column {name!r}; there are: {known}; set data.columns to two of them",
            )
        text = record[name]
        if not isinstance(text, str):
            held = json.dumps(text, default=repr)[:40]
            problem = f"{where}: column {name!r} holds {held}, not text; fix the row"
            raise MalformedError(line, NO_TEXT, problem)
        if replace_surrogates(text) != text:
            problem = f"{where}: column {name!r} holds half a surrogate pair; fix the row"
            raise MalformedError(line, SURROGATE, problem)
    return str(record[source]), str(record[target])
