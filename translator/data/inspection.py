"""Finds out what the files of a corpus are: format, encoding, delimiter and languages, and says why."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from translator.data import readers, tables
from translator.data.csv_records import Record, csv_records
from translator.data.file_kinds import ZIP, kind_of
from translator.data.formats import DELIMITERS
from translator.data.languages import Languages, find_columns, find_sides, language_names, words_of
from translator.data.lines import Line, guess_encoding, scan_lines
from translator.data.opening import open_binary, zip_names
from translator.errors import DataError

#: Number of bytes at the start of a file from which its encoding is found out.
_N_ENCODING_BYTES = 1_000_000
#: A delimiter splits at least this fraction of the rows into the same number of columns.
_REGULAR_FRACTION = 0.8
#: Names of files in an archive that have no text to train on.
_ASIDE = re.compile(
    r"(?:^|/)(?:\.|__MACOSX/|(?:readme|licen[cs]e)[^/]*$)|\.(?:xml|md|ids|scores)$", re.IGNORECASE
)
#: Words in the names of files that are a split of a corpus.
_SPLITS = {"train": "train", "training": "train", "test": "test"}
_SPLITS |= dict.fromkeys("dev val valid validation".split(), "val")
#: A field of a TSV file that Excel has quoted because of its comma.
_QUOTED_COMMA = re.compile(r'(?:^|\t)"[^"\t]*,[^"\t]*"(?:\t|$)')

Rows = list[list[str]]


class Finding(NamedTuple):
    """What the files of a corpus are: keys of a source in `data` that reads them, and how this was seen."""

    data: dict[str, Any]
    reasons: list[str]


def inspect(paths: Iterable[Path], source: str, target: str) -> list[Finding]:
    """Find out what files are. The files in a zip archive are taken as if they had been given.

    Of two text files of one column, whose names differ only in the language if there are more than two, line
    n of one translates line n of the other. Files whose names differ only in the split are one corpus.

    Args:
        paths: the files.
        source: code of the source language.
        target: code of the target language.

    Returns:
        What was found for each corpus: for each split, a file, or two text files of one column.

    Raises:
        DataError: a file cannot be read, or it cannot be told which text is in which language.
    """
    languages = (source, target)
    found, halves = [], []
    for path in dict.fromkeys(paths):
        of_file = _inspect_file(path, languages)
        found += of_file
        halves += [] if of_file else [path]
    names = language_names(source) | language_names(target)
    pairs: dict[tuple[str, ...], list[Path]] = {}
    for path in halves:
        key = tuple(word for word in words_of(str(path)) if word not in names) if len(halves) > 2 else ()
        pairs.setdefault(key, []).append(path)
    for paths in pairs.values():
        if len(paths) > 2:
            raise DataError(f"{', '.join(map(str, paths))}: their names do not tell which two are a pair")
        if len(paths) < 2:
            what = " has one column, or none" if len(halves) == 1 else ": no file of the other language"
            advice = (
                "give the file of the other language, too" if len(halves) == 1 else "give it, named alike"
            )
            raise DataError(f"{paths[0]}{what}; {advice}")
    return _merge_splits([*found, *(_inspect_parallel(pair, languages) for pair in pairs.values())])


def _merge_splits(found: list[Finding]) -> list[Finding]:
    """Return the findings with the splits of each corpus together, and without other splits than `train`."""
    files = [finding.data["files"]["train"] for finding in found]
    paths = [os.path.abspath(next(iter(x.values())) if isinstance(x, dict) else x) for x in files]
    words = [words_of(os.path.relpath(path, os.path.commonpath(paths))) for path in paths]
    splits = [next((_SPLITS[x] for x in reversed(of_path) if x in _SPLITS), "") for of_path in words]
    corpora = [[x for x in of_path if x not in _SPLITS] for of_path in words]
    trains = [i for i, split in enumerate(splits) if split == "train"]
    others = [i for i, split in enumerate(splits) if split not in ("", "train") and trains]
    for i in others:
        train = next((x for x in trains if corpora[x] == corpora[i]), trains[0])
        data, reasons = found[train]
        is_new = corpora[train] == corpora[i] and splits[i] not in data["files"]
        if is_new and {**data, "files": found[i].data["files"]} == found[i].data:
            data["files"][splits[i]] = files[i]
            reasons += [*found[i].reasons, f"{paths[i]} is the split {splits[i]}"]
        else:
            reasons += [
                f"left out: {paths[i]}, a split {splits[i]} with no train file of its name and format"
            ]
    return [finding for i, finding in enumerate(found) if i not in others]


def _inspect_parallel(paths: Sequence[Path], languages: Languages) -> Finding:
    heads = [_head(path) for path in paths]
    found = [_encoding(path, head) for path, head in zip(paths, heads, strict=True)]
    beyond = {x for x, head in zip(found, heads, strict=True) if x != "utf-8" or not head.isascii()}
    if len(beyond) > 1 and any(x.startswith("utf") for x in beyond):
        raise DataError(f"{paths[0]} is in {found[0]} and {paths[1]} in {found[1]}; convert one of them")
    encoding = beyond.pop() if len(beyond) == 1 else guess_encoding(b"\n".join(heads))
    words = [Counter(words_of(str(path))) for path in paths]
    differing = [" ".join(words[side] - words[1 - side]) for side in (0, 1)]
    texts = [[line.text for line in _first_lines(path, encoding)] for path in paths]
    sides, why = find_sides(paths[0], differing, texts, languages)
    files = {language: str(paths[side]) for language, side in sides.items()}
    reasons = [f"{name} is {language}, {why}; it is in {encoding}" for language, name in files.items()]
    return Finding({"format": "text", "encoding": encoding, "files": {"train": files}}, reasons)


def _inspect_file(path: Path, languages: Languages) -> list[Finding]:
    """Return what a file is, or what the files in an archive are; nothing if it is text of one column."""
    kind = kind_of(path, _head(path))
    if kind is ZIP:
        names = [name for name in zip_names(path) if not _ASIDE.search(name)]
        if not names:
            raise DataError(f"{path} has no file with pairs; it has {', '.join(zip_names(path)[:20])}")
        return inspect([path / name for name in names], *languages)
    if kind is None or kind.reader.startswith("utf"):
        data, rows, what = _read_text(path)
        if not rows:
            return []
    elif not kind.reader:
        raise DataError(f"{path} is {kind.name}; {kind.advice}")
    else:
        data, rows, what = {"format": kind.reader}, _read_other(path, kind.reader, languages), kind.name
    reasons = [f"{path} is {what}" if rows else f"{path} is {what}, which names the languages of its texts"]
    if rows:
        has_header = data["format"] in ("jsonl", "parquet", "po")
        data["columns"], more = find_columns(path, rows, languages, has_header=has_header)
        reasons += more
    return [Finding({**data, "files": {"train": str(path)}}, reasons)]


def _head(path: Path) -> bytes:
    with open_binary(path, file_format=None) as file:
        return file.read(_N_ENCODING_BYTES)


def _encoding(path: Path, head: bytes) -> str:
    kind = kind_of(path, head)
    return kind.reader if kind else guess_encoding(head)


def _first_lines(path: Path, encoding: str) -> list[Line]:
    lines = islice(scan_lines(path, encoding), readers.N_FIRST_ROWS)
    return [line for line in lines if isinstance(line, Line) and line.text.strip()]


def _read_text(path: Path) -> tuple[dict[str, Any], Rows, str]:
    """Return keys for a text file, its first rows, and what it is. There are no rows if it has one column."""
    encoding = _encoding(path, _head(path))
    lines = _first_lines(path, encoding)
    if lines and lines[0].text.startswith("{"):
        data = {"format": "jsonl", "encoding": encoding}
        return data, _rows_of(_objects(lines)), f"JSON Lines in {encoding}"
    if lines and re.match(r"\[\s*(?:\{|$)", lines[0].text):
        raise DataError(f"{path} is a JSON array; write one object a line, which is JSON Lines")
    if lines and readers.SEPARATOR_LINE.fullmatch(lines[0].text):
        lines = lines[1:]
    for name, delimiter in DELIMITERS.items():
        records = list(csv_records(path, lines, delimiter))
        rows = [record.fields for record in records if isinstance(record, Record)]
        data = {"format": "csv", "delimiter": name, "encoding": encoding}
        # In a TSV file, quotes are text unless all are where Excel writes them and some are needed.
        is_quoted = any('""' in line.text or _QUOTED_COMMA.search(line.text) for line in lines)
        is_quoted = is_quoted or any("\t" in field or "\n" in field for row in rows for field in row)
        if name == "tab" and not (is_quoted and len(rows) == len(records)):
            data, rows = {"format": "tsv", "encoding": encoding}, [line.text.split("\t") for line in lines]
        width, n_regular = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        if width > 1 and n_regular >= _REGULAR_FRACTION * len(rows):
            return data, rows, f"a table in {encoding} of {width} columns, separated by {name}s"
    return {}, [], ""


def _read_other(path: Path, file_format: str, languages: Languages) -> Rows:
    """Return the first rows of a file that is not text; nothing if it names the languages of its texts."""
    if file_format == "xlsx":
        from translator.data.workbooks import workbook_records

        rows = (record.fields for record in islice(workbook_records(path), readers.N_FIRST_ROWS))
        return [row for row in rows if any(row)]
    if file_format == "parquet":
        with TemporaryDirectory() as folder:
            return _rows_of(islice(tables.load_parquet(path, Path(folder)), readers.N_FIRST_ROWS))
    if file_format == "po":
        from translator.data.po_files import read_po

        try:
            next(read_po(path, *languages), None)
        except DataError:  # its header does not name the language
            pairs = [row for row in read_po(path, "msgid", "msgstr") if isinstance(row, readers.Row)]
            return [["msgid", "msgstr"], *([pair.source, pair.target] for pair in pairs)]
    return []


def _objects(lines: list[Line]) -> Iterator[Any]:
    for line in lines:
        with suppress(ValueError, RecursionError):
            yield json.loads(line.text)


def _rows_of(records: Iterable[Any]) -> Rows:
    """Return records as rows, of which the first one has the names of the columns."""
    maps = [record for record in records if isinstance(record, dict)]
    inner = [record.get("translation") for record in maps]
    maps = [own if isinstance(own, dict) else record for own, record in zip(inner, maps, strict=True)]
    names = list(dict.fromkeys(name for record in maps for name in record))
    return [names, *([str(record.get(name) or "") for name in names] for record in maps)]
