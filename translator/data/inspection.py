"""Finds out what the files of a corpus are: format, encoding, delimiter and languages, and says why."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from translator.data import oddities, readers, tables
from translator.data.csv_records import Record, csv_records
from translator.data.file_kinds import N_HEAD_BYTES, kind_of
from translator.data.lines import Line, MalformedError, guess_encoding, scan_lines
from translator.data.opening import open_binary, zip_names
from translator.errors import DataError

#: Number of bytes at the start of a file from which its encoding is found out.
_N_ENCODING_BYTES = 1_000_000
#: A delimiter splits at least this fraction of the rows into the same number of columns.
_REGULAR_FRACTION = 0.8

#: Names of languages in headers and file names, without accents and in lower case.
_NAMES = {
    "fr": {"fr", "fra", "fre", "french", "francais", "francaise"},
    "en": {"en", "eng", "english", "anglais", "anglaise"},
}
#: Words that make a row a header, besides the names of languages.
_HEADER_WORDS = set("source target src tgt trg text sentence translation id cible phrase".split())
#: Frequent words besides those in `oddities`, which are few for short sentences.
_MORE_WORDS = {
    "fr": set("l d j c qu n m t un de à je tu on ce ne se si mon ma sont fait oui non où".split()),
    "en": set("a i we they not be have do does what on no yes don my me your can will".split()),
}


class Finding(NamedTuple):
    """What the files of a corpus are: keys of the section `data` that reads them, and how this was seen."""

    data: dict[str, Any]
    reasons: list[str]


def inspect(paths: Sequence[Path], source: str, target: str) -> Finding:
    """Find out how a corpus is read.

    Args:
        paths: a file with both languages, or two files of which line n of one translates line n of the other.
        source: code of the source language.
        target: code of the target language.

    Raises:
        DataError: a file cannot be read, or it cannot be told which text is in which language.
    """
    languages = (source, target)
    if len(paths) == 2:
        return _inspect_parallel(paths, languages)
    if len(paths) != 1:
        raise DataError(f"{len(paths)} files; give one with both languages, or one for each language")
    path = paths[0]
    raw = _head(path)
    kind = kind_of(path, raw[:N_HEAD_BYTES])
    if kind is None or kind.name.startswith("text in"):
        found, reasons = _inspect_text(path, *guess_encoding([raw]), languages)
    elif kind.name == "a zip archive":
        return _inspect_archive(path, languages)
    elif not kind.formats:
        raise DataError(f"{path} is {kind.name}; {kind.advice}")
    else:
        found, reasons = {"format": kind.formats[0]}, [f"{path} is {kind.name}"]
        columns, why = _columns_of_kind(path, kind.formats[0], languages)
        if any(language != name for language, name in columns.items()):
            found["columns"] = columns
        reasons += why
    return Finding({**found, "files": {"train": str(path)}}, reasons)


def _head(path: Path) -> bytes:
    with open_binary(path, file_format=None) as file:
        return file.read(_N_ENCODING_BYTES)


def _inspect_archive(path: Path, languages: tuple[str, str]) -> Finding:
    names = zip_names(path)
    sides = [[path / name for name in names if name.endswith(f".{language}")] for language in languages]
    if all(len(found) == 1 for found in sides):
        return _inspect_parallel([found[0] for found in sides], languages)
    aside = re.compile(r"readme|licen[cs]e|\.(?:xml|md|ids|scores)$", re.IGNORECASE)
    others = [path / name for name in names if not aside.search(name)]
    if len(others) == 1:
        return inspect(others, *languages)
    raise DataError(f"{path} has the files {', '.join(names[:10])}; name one, as in {path / names[0]}")


def _inspect_parallel(paths: Sequence[Path], languages: tuple[str, str]) -> Finding:
    encoding, why = guess_encoding([_head(path) for path in paths])
    names = [str(path) for path in paths]
    lines = [[line.text for line in _first_lines(path, encoding)] for path in paths]
    # The language is looked for in the part of the name that is not the same in both.
    parts = [re.split(r"[._/ -]", name) for name in names]
    differing = [
        " ".join(part)
        for part in zip(*(pair for pair in zip(*parts, strict=False) if pair[0] != pair[1]), strict=True)
    ]
    sides, reasons = _sides(differing or names, lines, languages)
    first, second = (names[side] for side in sides)
    templates = (
        f"{first[: match.start()]}{{lang}}{first[match.end() :]}"
        for match in re.finditer(re.escape(languages[0]), first)
    )
    template = next((name for name in templates if name.replace("{lang}", languages[1]) == second), None)
    files = {"train": template or {languages[0]: first, languages[1]: second}}
    shown = [
        f"{names[side]} is {language}, {reason}"
        for side, language, reason in zip(sides, languages, reasons, strict=True)
    ]
    data = {"format": "text", "files": files, **_if_other(encoding)}
    return Finding(data, [f"their encoding is {encoding}: {why}", *shown])


def _if_other(encoding: str) -> dict[str, str]:
    return {} if encoding == "utf-8" else {"encoding": encoding}


def _first_lines(path: Path, encoding: str) -> list[Line]:
    return [
        line for line in islice(scan_lines(path, encoding), readers.N_FIRST_ROWS) if isinstance(line, Line)
    ]


def _inspect_text(
    path: Path, encoding: str, why: str, languages: tuple[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the keys for a table or JSON Lines file, and how this was seen."""
    lines = [line for line in _first_lines(path, encoding) if line.text.strip()]
    is_json = bool(lines) and lines[0].text.startswith("{")
    found: dict[str, Any]
    if is_json:
        found, rows, what = {"format": "jsonl"}, _rows_of(map(_parsed, lines)), "JSON Lines"
    else:
        found, rows, what = _split(path, lines)
    columns, more = _columns(rows, languages, has_header=is_json)
    if any(language != name for language, name in columns.items()):
        found["columns"] = columns
    return {**found, **_if_other(encoding)}, [
        f"{path} is {what}",
        f"its encoding is {encoding}: {why}",
        *more,
    ]


def _split(path: Path, lines: list[Line]) -> tuple[dict[str, Any], list[list[str]], str]:
    """Find the delimiter of a table and whether its fields are quoted. Return keys, rows and words."""
    given = readers.SEPARATOR_LINE.fullmatch(lines[0].text) if lines else None
    for delimiter in [given[1]] if given else "\t;,":
        unquoted = [line.text.split(delimiter) for line in lines[bool(given) :]]
        records = csv_records(path, lines[bool(given) :], delimiter)
        quoted = [row.fields for row in records if isinstance(row, Record)]
        is_quoted = delimiter != "\t" or _has_quotes(unquoted)
        rows = quoted if is_quoted else unquoted
        width, n_regular = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        if width > 1 and n_regular >= _REGULAR_FRACTION * len(rows):
            found = {"format": "tsv" if delimiter == "\t" else "csv"}
            found |= {"delimiter": "semicolon"} if delimiter == ";" and not given else {}
            found |= {"quoting": "double"} if is_quoted and delimiter == "\t" else {}
            shown = {"\t": "tabs", ";": "semicolons", ",": "commas"}[delimiter]
            return found, rows, f"a table of {width} columns, separated by {shown}"
    raise DataError(f"{path} has one column, or none; give the file of the other language, too")


def _has_quotes(rows: list[list[str]]) -> bool:
    """Return whether the quotes in fields seem to be around fields, as in a table that Excel saved."""
    fields = [field for row in rows for field in row if '"' in field]
    whole = [field for field in fields if re.fullmatch(r'"(?:[^"]|"")*"', field)]
    is_clear = any('""' in field[1:-1] for field in whole) or 2 * len(whole) >= len(rows)
    return 10 * len(whole) >= 9 * len(fields) > 0 and is_clear


def _columns_of_kind(
    path: Path, file_format: str, languages: tuple[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the columns in a file that is not text, and how this was seen."""
    if file_format == "xlsx":
        from translator.data.workbooks import workbook_records

        rows = [row.fields for row in islice(workbook_records(path), readers.N_FIRST_ROWS)]
        return _columns([row for row in rows if any(row)], languages)
    if file_format == "parquet":
        with TemporaryDirectory() as folder:
            table = tables.load_parquet(path, Path(folder))
            return _columns(_rows_of(islice(table, readers.N_FIRST_ROWS)), languages, has_header=True)
    if file_format == "po":
        from translator.data.po_files import read_po

        try:
            read = read_po(path, *languages)
            next(read, None)
        except DataError:  # its header does not name the language
            pairs = [row for row in read_po(path, "msgid", "msgstr") if not isinstance(row, MalformedError)]
            rows = [["msgid", "msgstr"], *([pair.source, pair.target] for pair in pairs)]
            return _columns(rows, languages, has_header=True)
    return {}, ["it names the languages of its texts"]


def _parsed(line: Line) -> object:
    try:
        return json.loads(line.text)
    except (ValueError, RecursionError):
        return None


def _rows_of(records: Iterable[Any]) -> list[list[str]]:
    """Return records as rows, of which the first one has the names of the columns."""
    maps = [record.get("translation", record) for record in records if isinstance(record, dict)]
    maps = [record for record in maps if isinstance(record, dict)]
    names = list(dict.fromkeys(name for record in maps for name in record))
    return [names, *([str(record.get(name) or "") for name in names] for record in maps)]


def _columns(
    rows: list[list[str]], languages: tuple[str, str], *, has_header: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Return for each language the name of its column, or the number if there is no header, and why."""
    header = rows[0] if rows else []
    texts = [[row[i] for row in rows[1:] if i < len(row)] for i in range(len(header))]
    sides, reasons = _sides(header, texts, languages)
    words = {_plain(name) for name in header}
    has_header = has_header or all(
        _is_named(header[side], x) for side, x in zip(sides, languages, strict=True)
    )
    has_header = has_header or not words.isdisjoint(_HEADER_WORDS)
    chosen = [header[side] if has_header else side + 1 for side in sides]
    shown = [
        f"column {name!r} is {x}, {why}" for name, x, why in zip(chosen, languages, reasons, strict=True)
    ]
    return dict(zip(languages, chosen, strict=True)), [*([] if has_header else ["it has no header"]), *shown]


def _sides(
    names: Sequence[str], texts: Sequence[Sequence[str]], languages: tuple[str, str]
) -> tuple[list[int], list[str]]:
    """Return for each language the index of the text in it, and the reason.

    Raises:
        DataError: neither the names nor frequent words tell.
    """
    named = [[i for i, name in enumerate(names) if _is_named(name, language)] for language in languages]
    if all(len(found) == 1 for found in named) and named[0] != named[1]:
        return [found[0] for found in named], ["because it is named so"] * 2
    counts = [[_n_frequent_words(text, language) for language in languages] for text in texts]
    leads = [[count[side] - count[1 - side] for count in counts] for side in (0, 1)]
    sides = [lead.index(max(lead)) if lead and max(lead) > 0 else -1 for lead in leads]
    if -1 in sides:
        raise DataError(
            f"it cannot be told which text is {languages[0]} and which {languages[1]}; name them so in the "
            f"header or in the names of two files (now: {', '.join(names)})"
        )
    return sides, [
        f"because it starts with {counts[side][i]} frequent words of {languages[i]} and "
        f"{counts[side][1 - i]} of {languages[1 - i]}"
        for i, side in enumerate(sides)
    ]


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text.strip().lower())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _is_named(name: str, language: str) -> bool:
    words = re.split(r"[^a-z]+", _plain(name))
    return len(name.split()) <= 3 and not _NAMES.get(language, {language.lower()}).isdisjoint(words)


def _n_frequent_words(texts: Iterable[str], language: str) -> int:
    words = _MORE_WORDS.get(language, set()) | oddities.FUNCTION_WORDS.get(language, frozenset())
    return sum(word in words for text in texts for word in re.findall(r"[^\W\d_]+", text.lower()))
