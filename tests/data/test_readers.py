"""Readers: the text of a line arrives as it is, and what is no line is refused with its place."""

import csv
import gzip
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from translator.data import readers
from translator.data.readers import (
    BOM,
    CRLF,
    Row,
    pair_of,
    read_csv,
    read_jsonl,
    read_lines,
    read_parallel,
    read_tsv,
)
from translator.errors import DataError

# Characters at which one program or another ends a line, and what lies near them.
LINE_ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(LINE_ENDS + "\0\",;'\\ \u00a0\u202f\ufeff\u2581éœ😀"),
    )
)


def of_one_line(text: str) -> str:
    """The text without what ends a line or a field of a TSV, and without what is taken off."""
    return text.replace("\n", "").replace("\t", "").rstrip("\r").lstrip("\ufeff")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.txt"


def refusal(read: Callable[[], Iterator[object]]) -> str:
    """The message with which reading ends."""
    with pytest.raises(DataError) as caught:
        list(read())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_line_ends_at_line_feed_and_nowhere_else(file: Path) -> None:
    text = f"a{LINE_ENDS}b\n\nlast, without an end"
    file.write_bytes(text.encode())
    assert [(line.number, line.text, line.notes) for line in read_lines(file)] == [
        (1, f"a{LINE_ENDS}b", 0),
        (2, "", 0),
        (3, "last, without an end", 0),
    ]
    assert len(text.splitlines()) > 3  # what Python's own rule would have done
    assert len(file.read_text(encoding="utf-8").split("\n")) > 3  # and its text mode


def test_crlf_and_a_byte_order_mark_are_taken_off_and_noted(file: Path) -> None:
    file.write_bytes("\ufeffun\r\ndeux\r\r\n\ufefftrois\nquatre\r".encode())
    assert [(line.text, line.notes) for line in read_lines(file)] == [
        ("un", BOM | CRLF),
        ("deux\r", CRLF),
        ("\ufefftrois", 0),
        ("quatre\r", 0),
    ]


@given(lines=st.lists(TEXT.map(of_one_line), max_size=6), zipped=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_of_any_text_are_read_back(file: Path, lines: list[str], zipped: bool) -> None:
    data = "".join(line + "\n" for line in lines).encode()
    file.write_bytes(gzip.compress(data) if zipped else data)
    assert [line.text for line in read_lines(file)] == lines


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with a byte order mark"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_invalid_utf8_names_file_line_and_byte(file: Path, mark: bytes, zipped: bool) -> None:
    def write(data: bytes) -> None:
        file.write_bytes(gzip.compress(data) if zipped else data)

    write(mark + b"d\xe9j\xc3\xa0\n")
    problem = "(0xe9) is no valid UTF-8; convert the file to UTF-8"
    # The byte is counted as it stands in the file, a mark before it included.
    assert refusal(lambda: read_lines(file)) == f"{file}:1: byte {len(mark) + 2} of the line {problem}"
    write(mark + b"un\n\xc3\xa9t\xe9")
    assert refusal(lambda: read_lines(file)) == f"{file}:2: byte 4 of the line {problem}"


def test_half_a_surrogate_pair_is_no_utf8(file: Path) -> None:
    file.write_bytes(b"a\n\xed\xa0\x80\n")
    assert refusal(lambda: read_lines(file)).startswith(f"{file}:2: byte 1 of the line (0xed) is no valid")


def test_damaged_gzip_names_file_and_line(file: Path) -> None:
    data = gzip.compress("".join(f"ligne {i * i}\n" for i in range(3000)).encode())
    for damaged in (data[:-6], data[: len(data) // 2], data[:-8] + bytes(8), data[:200] + b"\xff" * 400):
        file.write_bytes(damaged)
        assert re.fullmatch(
            rf"{file}:\d+: damaged gzip file: .+; fetch it again", refusal(lambda: read_lines(file))
        )
    file.write_bytes(data)
    assert len(list(read_lines(file))) == 3000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_a_pipe_is_read_whole(tmp_path: Path, zipped: bool) -> None:
    pipe, data = tmp_path / "pipe", b"un\ndeux\n" * 50_000  # more than a pipe holds
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=[gzip.compress(data) if zipped else data])
    writer.start()
    lines = [line.text for line in read_lines(pipe)]
    writer.join()
    assert lines == ["un", "deux"] * 50_000


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(lambda: read_lines(tmp_path / "no")) == (
        f"{tmp_path / 'no'}: cannot be read: No such file or directory; check data.root and data.files"
    )


@pytest.mark.parametrize("extra", ["source", "target"])
def test_unequal_line_counts_name_both(tmp_path: Path, extra: str) -> None:
    source, target = tmp_path / "a.fr", tmp_path / "a.en"
    source.write_text("un\ndeux\n" + ("trois\nquatre\n" if extra == "source" else ""))
    target.write_text("one\ntwo\n" + ("three\n" if extra == "target" else ""))
    n_source, n_target = (4, 2) if extra == "source" else (2, 3)
    assert refusal(lambda: read_parallel(source, target)) == (
        f"{source} has {n_source} lines and {target} has {n_target}; line n of the one must translate "
        "line n of the other, so find the missing line"
    )


def csv_field(text: str) -> str:
    """A field by RFC 4180, quoted only where it must be."""
    return '"' + text.replace('"', '""') + '"' if re.search('[",\n]', text) else text


# For each format: how a pair is written, and how it is read back.
Reader = Callable[[Path], Iterator[Row]]
FORMATS: dict[str, tuple[Callable[[str, str], str], Reader, str]] = {
    "tsv": (lambda fr, en: f"{fr}\t{en}", lambda path: read_tsv(path, "fr", "en"), "fr\ten"),
    "tsv by place": (lambda fr, en: f"x\t{en}\t{fr}\ty", lambda path: read_tsv(path, 3, 2), ""),
    "csv": (
        lambda fr, en: f"{csv_field(fr)},{csv_field(en)}",
        lambda path: read_csv(path, "fr", "en"),
        '"fr",en',
    ),
    "csv by place": (
        lambda fr, en: f"{csv_field(en)},,{csv_field(fr)}",
        lambda path: read_csv(path, 3, 1),
        "",
    ),
    "jsonl": (
        lambda fr, en: json.dumps({"id": 1, "en": en, "fr": fr}),
        lambda path: read_jsonl(path, "fr", "en"),
        "",
    ),
    "jsonl, not escaped": (
        lambda fr, en: json.dumps({"translation": {"fr": fr, "en": en}}, ensure_ascii=False),
        lambda path: read_jsonl(path, "fr", "en"),
        "",
    ),
}


@given(pairs=st.lists(st.tuples(TEXT.map(of_one_line), TEXT.map(of_one_line)), max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_format_gives_the_same_rows(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    for side, name in enumerate(("a.fr", "a.en")):
        (tmp_path / name).write_bytes("".join(pair[side] + "\n" for pair in pairs).encode())
    parallel = list(read_parallel(tmp_path / "a.fr", tmp_path / "a.en"))
    assert parallel == [Row(number, *pair, 0) for number, pair in enumerate(pairs, start=1)]
    for name, (write, read, header) in FORMATS.items():
        lines = ([header] if header else []) + [write(*pair) for pair in pairs]
        (tmp_path / "table").write_bytes("".join(line + "\n" for line in lines).encode())
        shift = 1 if header else 0
        expected = [row._replace(line=row.line + shift) for row in parallel]
        assert list(read(tmp_path / "table")) == expected, name


@pytest.mark.parametrize("name", FORMATS)
def test_crlf_and_a_mark_are_noted_in_every_format(tmp_path: Path, name: str) -> None:
    write, read, header = FORMATS[name]
    lines = ([header] if header else []) + [write("un", "one"), write("deux", "two")]
    (tmp_path / "table").write_bytes(("\ufeff" + "".join(line + "\r\n" for line in lines)).encode())
    rows = list(read(tmp_path / "table"))
    assert [(row.source, row.target) for row in rows] == [("un", "one"), ("deux", "two")]
    assert [row.notes for row in rows] == [BOM | CRLF, CRLF]


def test_notes_of_either_file_count_for_the_pair(tmp_path: Path) -> None:
    source, target = tmp_path / "a.fr", tmp_path / "a.en"
    source.write_bytes("\ufeffun\ndeux\ntrois\n".encode())
    target.write_bytes(b"one\ntwo\r\nthree\n")
    assert [row.notes for row in read_parallel(source, target)] == [BOM, CRLF, 0]


CELL = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('",\n;\t ')))


@given(table=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5), quoting=st.sampled_from([0, 1]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_is_read_as_another_program_wrote_it(
    file: Path, table: list[tuple[str, str]], quoting: int
) -> None:
    table = [(source.replace("\r", ""), target.replace("\r", "")) for source, target in table]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=quoting, lineterminator="\n").writerows([("fr", "en"), *table])
    file.write_bytes(buffer.getvalue().encode())
    rows = list(read_csv(file, "fr", "en"))
    assert [(row.source, row.target) for row in rows] == table
    starts = [2 + sum(a.count("\n") + b.count("\n") + 1 for a, b in table[:i]) for i in range(len(table))]
    assert [row.line for row in rows] == starts


def test_a_quoted_field_may_hold_commas_quotes_and_line_ends(file: Path) -> None:
    file.write_bytes(b'fr,en\r\n"a, ""b""\r\nc\rd",e\r\n')
    assert list(read_csv(file, "fr", "en")) == [Row(2, 'a, "b"\nc\rd', "e", CRLF)]


@pytest.mark.parametrize(
    ("record", "rest"),
    [('un "deux",x', 'un "deux",x'), ('"un"deux,x', '"un"deux,x'), ('x,un "deux" trois', 'un "deux" trois')],
)
def test_a_stray_quote_in_csv_names_its_line(file: Path, record: str, rest: str) -> None:
    file.write_text(f"fr,en\nun,one\n{record}\n")
    assert refusal(lambda: read_csv(file, "fr", "en")) == (
        f"{file}:3: a quote where RFC 4180 allows none, after {rest[:20]!r}; "
        'quote the whole field and write a quote in it as ""'
    )


@pytest.mark.parametrize("n_lines", [1, 200_000], ids=["to the end", "beyond the longest record"])
def test_an_unclosed_quote_in_csv_names_where_it_opened(file: Path, n_lines: int) -> None:
    file.write_text("fr,en\nun,one\n" + '"deux,two\n' + "trois,three\n" * n_lines)
    assert refusal(lambda: read_csv(file, "fr", "en")) == (
        f'{file}:3: the quote opened here is never closed; write a quote as ""'
    )
    assert file.stat().st_size > readers.MAX_RECORD_BYTES or n_lines == 1


@pytest.mark.parametrize("read", [read_tsv, read_csv])
def test_a_missing_column_lists_the_columns(
    file: Path, read: Callable[[Path, str, str], Iterator[Row]]
) -> None:
    between = "\t" if read is read_tsv else ","
    advice = "set data.columns to two of them, or to places from 1 where the file has no header"
    file.write_text(between.join(["fr", "de"]) + "\n" + between.join(["un", "eins"]) + "\n")
    assert refusal(lambda: read(file, "fr", "en")) == (
        f"{file}:1: no column 'en'; the header has fr, de; {advice}"
    )
    file.write_text("")
    assert refusal(lambda: read(file, "fr", "en")) == (
        f"{file}:1: no column 'fr'; the header has nothing; {advice}"
    )


@pytest.mark.parametrize("read", [read_tsv, read_csv])
def test_a_line_with_too_few_columns_is_named(
    file: Path, read: Callable[[Path, int, int], Iterator[Row]]
) -> None:
    between = "\t" if read is read_tsv else ","
    file.write_text(f"un{between}one\ndeux\n")
    assert refusal(lambda: read(file, 1, 2)) == (
        f"{file}:2: 1 columns, and data.columns needs 2; mend the line"
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "no valid JSON: Expecting property name"),
        ("", "no valid JSON: Expecting value"),
        ("[" * 100_000, "no valid JSON: "),
        ("3", "no record with columns 'fr' and 'en'"),
        ('{"fr": "un", "de": "x"}', "no column 'en'; there are: fr, de; set data.columns to two of them"),
        ('{"translation": {"fr": "un"}}', "no column 'en'; there are: fr; set data.columns to two of them"),
        ('{"fr": "un", "en": null}', "column 'en' holds null, not text; mend the row"),
        ('{"fr": "un", "en": 12}', "column 'en' holds 12, not text; mend the row"),
        ('{"fr": "un", "en": "\\ud83d"}', "column 'en' holds half a surrogate pair; mend the row"),
    ],
)
def test_a_line_that_is_no_pair_of_texts_is_named(file: Path, line: str, problem: str) -> None:
    file.write_text('{"fr": "un", "en": "one"}\n' + line + "\n")
    assert refusal(lambda: read_jsonl(file, "fr", "en")).startswith(f"{file}:2: {problem}")


def test_a_whole_surrogate_pair_is_text(file: Path) -> None:
    file.write_text('{"fr": "\\ud83d\\ude00", "en": "\\u2028"}\n')
    assert list(read_jsonl(file, "fr", "en")) == [Row(1, "😀", "\u2028", 0)]


def test_a_column_of_that_name_goes_before_a_translation_map() -> None:
    record = {"fr": "un", "en": "one", "translation": {"fr": "x", "en": "y"}}
    assert pair_of(record, "fr", "en", where="x") == ("un", "one")
    assert pair_of(record, "en", "fr", where="x") == ("one", "un")


def test_a_value_that_is_no_json_either_is_shown(file: Path) -> None:
    with pytest.raises(DataError) as caught:
        pair_of({"fr": b"un", "en": "one"}, "fr", "en", where="x, row 1")
    assert str(caught.value) == "x, row 1: column 'fr' holds \"b'un'\", not text; mend the row"
