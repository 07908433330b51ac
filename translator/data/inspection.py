"""Finds out what the files of a corpus are: format, encoding, delimiter and languages, and says why."""

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from translator.data import tables
from translator.data.csv_records import Record, csv_records
from translator.data.file_kinds import N_HEAD_BYTES, kind_of
from translator.data.lines import Line, other_encodings, scan_lines
from translator.data.oddities import FUNCTION_WORDS
from translator.data.opening import open_binary, zip_names
from translator.data.readers import N_FIRST_ROWS, SEPARATOR_LINE
from translator.errors import DataError

#: Number of bytes at the start of a file from which its encoding is found out.
_N_ENCODING_BYTES = 1_000_000
#: A table has a delimiter if it splits at least this fraction of the rows into the same number of columns.
_REGULAR_FRACTION = 0.8

_DELIMITERS = {"\t": "tab", ";": "semicolon", ",": "comma"}
#: Names of languages in headers and file names, without accents and in lower case.
_NAMES = {
    "fr": {"fr", "fra", "fre", "french", "francais", "francaise"},
    "en": {"en", "eng", "english", "anglais", "anglaise"},
}
#: Words that are no sentence, so that a row of them is a header.
_HEADER_WORDS = {
    "source",
    "target",
    "src",
    "tgt",
    "trg",
    "text",
    "sentence",
    "translation",
    "id",
    "cible",
    "phrase",
}
#: Frequent words besides those of `FUNCTION_WORDS`, whose short list would miss many short sentences.
_MORE_WORDS = {
    "fr": frozenset("l d j c qu n m t un de à je tu on ce ne se si mon ma sont fait oui non où".split()),
    "en": frozenset("a i we they not be have do does what on no yes don my me your can will".split()),
}
_WORD = re.compile(r"[^\W\d_]+")


class Finding(NamedTuple):
    """What the files of a corpus are.

    Attributes:
        data: keys of the section `data` of a configuration that reads the files.
        reasons: what was found, and why, in sentences.
    """

    data: dict[str, Any]
    reasons: list[str]


def inspect(paths: Sequence[Path], source: str, target: str) -> Finding:
    """Find out how a corpus is read.

    Args:
        paths: one file with both languages, or two files of which line n of one translates line n of the other.
        source: code of the source language.
        target: code of the target language.

    Raises:
        DataError: a file cannot be read or has no pairs, or it cannot be told which text is which language.
    """
    if len(paths) == 2:
        return _inspect_parallel(paths, (source, target))
    if len(paths) != 1:
        raise DataError(f"{len(paths)} files; give one with both languages, or two with a line for each pair")
    path = paths[0]
    raw = _head(path)
    kind = kind_of(path, raw[:N_HEAD_BYTES])
    if kind is not None and kind.name == "a zip archive":
        return _inspect_archive(path, (source, target))
    if kind is not None and not kind.formats and not kind.name.startswith("text in"):
        raise DataError(f"{path} is {kind.name}; {kind.advice}")
    if kind is not None and kind.formats:
        file_format = kind.formats[0]
        columns, reasons = _COLUMNS[file_format](path, (source, target))
        data = {"format": file_format, "files": {"train": str(path)}, **_without_defaults(columns)}
        return Finding(data, [f"{path} is {kind.name}", *reasons])
    encoding, why = _encoding(raw)
    lines = [line for line in islice(scan_lines(path, encoding), N_FIRST_ROWS) if isinstance(line, Line)]
    found, reasons = (_jsonl_columns if lines and lines[0].text.lstrip().startswith("{") else _table_columns)(
        path, lines, (source, target)
    )
    data = {"format": found.pop("format"), "files": {"train": str(path)}}
    if encoding != "utf-8":
        data["encoding"] = encoding
    return Finding({**data, **_without_defaults(found)}, [f"its encoding is {encoding}: {why}", *reasons])


def _without_defaults(found: dict[str, Any]) -> dict[str, Any]:
    columns = {language: name for language, name in found.get("columns", {}).items() if language != name}
    return {
        **{key: value for key, value in found.items() if key != "columns"},
        **({"columns": found["columns"]} if columns else {}),
    }


def _head(path: Path) -> bytes:
    with open_binary(path, file_format=None) as file:
        return file.read(_N_ENCODING_BYTES)


def _encoding(raw: bytes) -> tuple[str, str]:
    """Return the encoding of a text and the reason."""
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
    ):
        if raw.startswith(mark):
            return encoding, "it starts with a byte order mark"
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16", "it starts with a byte order mark"
    zeros = [raw[start:1000:2].count(0) for start in (0, 1)]
    if max(zeros) > len(raw[:1000]) / 4:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le", "every second byte is zero"
    valid, invalid = [], []
    for line in raw.split(b"\n")[: -1 if len(raw) == _N_ENCODING_BYTES else None]:
        if not line.isascii():
            try:
                line.decode("utf-8")
                valid.append(line)
            except UnicodeDecodeError:
                invalid.append(line)
    if len(valid) >= len(invalid):
        bad = f", except {len(invalid)} lines" if invalid else ""
        return "utf-8", f"all of it is valid{bad}" if valid else "it has no character beyond ASCII"
    likely = other_encodings(b"\n".join(invalid))[0]
    return likely, f"{len(invalid)} lines are not valid UTF-8, and have French or English letters in {likely}"


def _inspect_archive(path: Path, languages: tuple[str, str]) -> Finding:
    names = zip_names(path)
    ends = [[name for name in names if name.endswith(f".{language}")] for language in languages]
    if all(len(found) == 1 for found in ends):
        return _inspect_parallel([path / found[0] for found in ends], languages)
    others = [
        name
        for name in names
        if not re.search(r"readme|licen[cs]e|\.(xml|md|ids|scores)$", name, re.IGNORECASE)
    ]
    if len(others) == 1:
        return inspect([path / others[0]], *languages)
    raise DataError(
        f"{path} has {len(names)} files: {', '.join(names[:10])}; name one, as in {path / names[0]}"
    )


def _inspect_parallel(paths: Sequence[Path], languages: tuple[str, str]) -> Finding:
    """Return how two files are read of which line n of one translates line n of the other."""
    encodings = [_encoding(_head(path)) for path in paths]
    if len({encoding for encoding, _ in encodings}) > 1:
        both = " and ".join(
            f"{path} is in {encoding}" for path, (encoding, _) in zip(paths, encodings, strict=True)
        )
        raise DataError(f"{both}; convert one, because data.encoding is the same for both")
    encoding, why = encodings[0]
    names = [str(path) for path in paths]
    start = len(os.path.commonprefix(names))
    end = len(os.path.commonprefix([name[start:][::-1] for name in names]))
    middles = [name[start : len(name) - end] for name in names]
    texts = [
        [line.text for line in islice(scan_lines(path, encoding), N_FIRST_ROWS) if isinstance(line, Line)]
        for path in paths
    ]
    first, second = _sides(middles, texts, languages, "file", names)
    files = {languages[0]: names[first[0]], languages[1]: names[second[0]]}
    is_template = [middles[first[0]], middles[second[0]]] == list(languages)
    train = f"{names[0][:start]}{{lang}}{names[0][len(names[0]) - end :]}" if is_template else files
    data: dict[str, Any] = {"format": "text", "files": {"train": train}}
    if encoding != "utf-8":
        data["encoding"] = encoding
    return Finding(
        data,
        [
            "line n of one file translates line n of the other",
            f"their encoding is {encoding}: {why}",
            first[1],
            second[1],
        ],
    )


def _table_columns(
    path: Path, lines: list[Line], languages: tuple[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the delimiter, the quoting and the columns of a table, and the reasons."""
    texts = [line.text for line in lines if line.text.strip()]
    given = SEPARATOR_LINE.fullmatch(texts[0]) if texts else None
    if given:
        lines, texts = lines[1:], texts[1:]
    scores = {}
    for delimiter in [given[1]] if given else _DELIMITERS:
        for quoted in (False, True):
            rows = [row.fields for row in _records(path, lines, delimiter, quoted=quoted)]
            width, n = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
            scores[delimiter, quoted] = (n / max(len(rows), len(texts) if not quoted else 1), width, rows)
    regular = [key for key, (score, width, _) in scores.items() if width > 1 and score >= _REGULAR_FRACTION]
    if not regular:
        raise DataError(f"{path} has one column, or none; give the file of the other language, too")
    delimiter = regular[0][0]
    has_quotes = _has_quotes(scores[delimiter, False][2])
    quoted = has_quotes if delimiter == "\t" else True
    rows = scores[delimiter, quoted][2]
    found: dict[str, Any] = {"format": "tsv" if delimiter == "\t" else "csv"}
    if delimiter == ";" and not given:
        found["delimiter"] = "semicolon"
    if quoted and delimiter == "\t":
        found["quoting"] = "double"
    width = scores[delimiter, quoted][1]
    reasons = [
        f"it is a table of {width} columns, separated by {'the character of its line sep=: ' if given else ''}{_DELIMITERS[delimiter]}",
        f"its fields are {'in double quotes where needed' if has_quotes else 'not quoted'}",
    ]
    columns, why = _columns_of(rows, languages)
    return {**found, "columns": columns}, [*reasons, *why]


def _records(path: Path, lines: list[Line], delimiter: str, *, quoted: bool) -> list[Record]:
    if not quoted:
        return [Record(line.number, line.text.split(delimiter), 0) for line in lines if line.text.strip()]
    records = csv_records(path, iter(lines), delimiter)
    return [row for row in records if isinstance(row, Record) and any(map(str.strip, row.fields))]


def _has_quotes(rows: list[list[str]]) -> bool:
    """Return whether quotes in the fields, which were not split by quotes, seem to delimit fields."""
    fields = [field for row in rows for field in row if '"' in field]
    whole = [field for field in fields if re.fullmatch(r'"(?:[^"]|"")*"', field)]
    is_clear = any('""' in field[1:-1] for field in whole) or 2 * len(whole) >= len(rows)
    return 10 * len(whole) >= 9 * len(fields) > 0 and is_clear


def _columns_of(rows: list[list[str]], languages: tuple[str, str]) -> tuple[dict[str, str | int], list[str]]:
    """Return which columns of a table are in which language: their names, or numbers if there is no header."""
    header = rows[0]
    columns = list(map(list, zip(*(row + [""] * (len(header) - len(row)) for row in rows[1:]), strict=False)))
    sides = _sides(header, columns or [[] for _ in header], languages, "column", header)
    has_names = all(why.endswith("names it") for _, why in sides)
    has_header = has_names or any(_plain(field).strip() in _HEADER_WORDS for field in header)
    chosen = {
        language: header[index] if has_header else index + 1
        for language, (index, _) in zip(languages, sides, strict=True)
    }
    if not has_header:
        reasons = [why.replace(f"column {header[index]!r}", f"column {index + 1}") for index, why in sides]
        return chosen, ["it has no header", *reasons]
    return chosen, [why for _, why in sides]


def _sides(
    names: Sequence[str],
    texts: Sequence[Sequence[str]],
    languages: tuple[str, str],
    noun: str,
    shown: Sequence[str],
) -> list[tuple[int, str]]:
    """Return for each language the index of the text in it, and the reason.

    Raises:
        DataError: neither the names nor the words tell.
    """
    named = [[i for i, name in enumerate(names) if _is_named(name, language)] for language in languages]
    if all(len(found) == 1 for found in named) and named[0] != named[1]:
        return [
            (found[0], f"{language} is {noun} {shown[found[0]]!r}, because its name names it")
            for language, found in zip(languages, named, strict=True)
        ]
    counts = [[_count(text, language) for language in languages] for text in texts]
    best = [max(range(len(texts)), key=lambda i: counts[i][side] - counts[i][1 - side]) for side in (0, 1)]
    if best[0] == best[1] or any(counts[best[side]][side] <= counts[best[side]][1 - side] for side in (0, 1)):
        raise DataError(
            f"it cannot be told which {noun} is {languages[0]} and which {languages[1]}: {', '.join(map(repr, shown))}; "
            f"write the languages into the {'header' if noun == 'column' else 'names of the files'}"
        )
    return [
        (
            i,
            f"{languages[side]} is {noun} {shown[i]!r}, because of {counts[i][side]} frequent words of "
            f"{languages[side]} in its start and {counts[i][1 - side]} of {languages[1 - side]}",
        )
        for side, i in enumerate(best)
    ]


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text.lower())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _is_named(name: str, language: str) -> bool:
    names = _NAMES.get(language, {language.lower()})
    return not names.isdisjoint(re.split(r"[^a-z]+", _plain(name))) and len(name.split()) <= 3


def _count(texts: Iterable[str], language: str) -> int:
    words = FUNCTION_WORDS.get(language, frozenset()) | _MORE_WORDS.get(language, frozenset())
    return sum(word in words for text in texts for word in _WORD.findall(text.lower()))


def _jsonl_columns(
    path: Path, lines: list[Line], languages: tuple[str, str]
) -> tuple[dict[str, Any], list[str]]:
    return _mapping_columns("jsonl", _json_objects(lines), languages)


def _json_objects(lines: Iterable[Line]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line.text)
        except (ValueError, RecursionError):
            continue


def _mapping_columns(
    file_format: str, records: Iterable[Any], languages: tuple[str, str]
) -> tuple[dict[str, Any], list[str]]:
    objects = [record.get("translation", record) for record in records if isinstance(record, dict)]
    objects = [record for record in objects if isinstance(record, dict)]
    names = list(dict.fromkeys(name for record in objects for name in record))
    texts = [[record[name] for record in objects if isinstance(record.get(name), str)] for name in names]
    sides = _sides(names, texts, languages, "column", names)
    columns = {language: names[index] for language, (index, _) in zip(languages, sides, strict=True)}
    return {"format": file_format, "columns": columns}, [why for _, why in sides]


def _xlsx_columns(path: Path, languages: tuple[str, str]) -> tuple[dict[str, Any], list[str]]:
    from translator.data.workbooks import workbook_records

    rows = [row.fields for row in islice(workbook_records(path), N_FIRST_ROWS) if any(row.fields)]
    if not rows:
        raise DataError(f"{path}: its first sheet is empty; move the pairs there")
    columns, why = _columns_of(rows, languages)
    return {"columns": columns}, why


def _parquet_columns(path: Path, languages: tuple[str, str]) -> tuple[dict[str, Any], list[str]]:
    with TemporaryDirectory() as folder:
        table = tables.load_parquet(path, Path(folder))
        found, why = _mapping_columns(
            "parquet", list(table.select(range(min(N_FIRST_ROWS, len(table))))), languages
        )
    return found, why


def _tmx_columns(path: Path, languages: tuple[str, str]) -> tuple[dict[str, Any], list[str]]:
    from translator.data.xml_files import is_language, tmx_languages

    counts = tmx_languages(path)
    has = ", ".join(f"{language} ({n})" for language, n in counts.items())
    for wanted in languages:
        if not any(is_language(language, wanted) for language in counts):
            raise DataError(f"{path} has no segment in {wanted}; its languages are {has or 'none'}")
    return {}, [f"its segments name their languages: {has}"]


def _po_columns(path: Path, languages: tuple[str, str]) -> tuple[dict[str, Any], list[str]]:
    from translator.data.po_files import po_language, read_po
    from translator.data.readers import Row
    from translator.data.xml_files import is_language

    if any(is_language(po_language(path), language) for language in languages):
        return {}, [f"its header says that msgstr is in {po_language(path)}"]
    rows = [row for row in read_po(path, "msgid", "msgstr") if isinstance(row, Row)]
    texts = [[row.source for row in rows], [row.target for row in rows]]
    sides = _sides(["", ""], texts, languages, "column", ["msgid", "msgstr"])
    columns = {language: ["msgid", "msgstr"][i] for language, (i, _) in zip(languages, sides, strict=True)}
    return {"columns": columns}, ["its header names neither language", *(why for _, why in sides)]


def _xliff_columns(path: Path, languages: tuple[str, str]) -> tuple[dict[str, Any], list[str]]:
    return {}, ["its element <file> names the languages"]


_COLUMNS = {
    "xlsx": _xlsx_columns,
    "parquet": _parquet_columns,
    "tmx": _tmx_columns,
    "xliff": _xliff_columns,
    "po": _po_columns,
}
