"""Readers: the text of a row is unchanged, and each malformed row is reported."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import TEXT, of_one_line, read_csv, read_tsv, refusal

from translator.data.lines import (
    BOM,
    COLUMNS,
    CRLF,
    JSON,
    LONG,
    MAX_LINE_BYTES,
    NO_TEXT,
    QUOTE,
    SURROGATE,
    UTF8,
    MalformedError,
)
from translator.data.readers import (
    Row,
    pair_of,
    read_jsonl,
    read_parallel,
    read_records,
)
from translator.errors import DataError


def kinds(rows: Iterable[Row | MalformedError]) -> list[tuple[int, int | str]]:
    """Return the line of each row, with its source or its problem."""
    return [(row.line, row.problem if isinstance(row, MalformedError) else row.source) for row in rows]


@pytest.mark.parametrize("extra", ["source", "target"])
def test_unequal_line_counts_name_both(tmp_path: Path, extra: str) -> None:
    source, target = tmp_path / "a.fr", tmp_path / "a.en"
    source.write_text("un\ndeux\n" + ("trois\nquatre\n" if extra == "source" else ""))
    target.write_text("one\ntwo\n" + ("three\n" if extra == "target" else ""))
    n_source, n_target = (4, 2) if extra == "source" else (2, 3)
    assert refusal(lambda: read_parallel(source, target)) == (
        f"{source} has {n_source} lines and {target} has {n_target}; line n of one must translate "
        "line n of the other, so find the missing line"
    )


def csv_field(text: str) -> str:
    """A field by RFC 4180, quoted only where it must be."""
    return '"' + text.replace('"', '""') + '"' if re.search('[",\n]', text) else text


# For each format: the function that writes a pair, and its reader.
Reader = Callable[[Path], Iterator[Row | MalformedError]]
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


QUOTING = 'quote the whole field and write a quote in it as ""'


@pytest.mark.parametrize(
    "record", ['un "deux",x', '"un"deux,x', 'x,un "deux" trois', 'un 5" tuyau,a 5 inch pipe']
)
def test_a_stray_quote_in_csv_spoils_its_own_line(file: Path, record: str) -> None:
    file.write_text(f'fr,en\nun,one\n{record}\ndeux,two\n"trois",three\n')
    first, bad, *others = read_csv(file, "fr", "en")
    assert [first, *others] == [Row(2, "un", "one", 0), Row(4, "deux", "two", 0), Row(5, "trois", "three", 0)]
    assert isinstance(bad, MalformedError)
    assert (bad.line, bad.problem) == (3, QUOTE)
    rest = record[2:] if record.startswith("x,") else record
    assert str(bad) == f"{file}:3: a quote where RFC 4180 allows none, after {rest[:20]!r}; {QUOTING}"


@pytest.mark.parametrize("n_lines", [1, 2_000], ids=["to the end", "beyond the longest record"])
def test_an_unclosed_quote_in_csv_spoils_the_line_it_is_in(file: Path, n_lines: int) -> None:
    three = "trois " * 100
    file.write_text("fr,en\nun,one\n" + '"deux,two\n' + f"{three},three\n" * n_lines + '"a","b"\n')
    first, bad, *others = read_csv(file, "fr", "en")
    assert first == Row(2, "un", "one", 0)
    assert isinstance(bad, MalformedError)
    assert (bad.line, bad.problem) == (3, QUOTE)
    assert str(bad) == f"{file}:3: the quote opened here is never closed; {QUOTING}"
    assert others == [
        *(Row(4 + i, three, "three", 0) for i in range(n_lines)),
        Row(4 + n_lines, "a", "b", 0),
    ]
    assert file.stat().st_size > MAX_LINE_BYTES or n_lines == 1


def test_an_unclosed_quote_before_a_line_that_is_no_utf8(file: Path) -> None:
    file.write_bytes(b'fr,en\n"un,one\n\xff,x\ndeux,two\n')
    assert kinds(read_csv(file, "fr", "en")) == [(2, QUOTE), (3, UTF8), (4, "deux")]


@pytest.mark.parametrize("read", [read_tsv, read_csv])
def test_a_missing_column_lists_the_columns(
    file: Path, read: Callable[[Path, str, str], Iterator[Row | MalformedError]]
) -> None:
    between = "\t" if read is read_tsv else ","
    advice = "set data.columns to two of them, or to numbers from 1 if the file has no header"
    file.write_text(between.join(["fr", "de"]) + "\n" + between.join(["un", "eins"]) + "\n")
    assert refusal(lambda: read(file, "fr", "en")) == (
        f"{file}:1: no column 'en'; the header has fr, de; {advice}"
    )
    for text in ("", "\n\n"):
        file.write_text(text)
        assert refusal(lambda: read(file, "fr", "en")) == f"{file} is empty; name a file that has pairs"
    file.write_bytes(b"fr\xe9\nun\n")
    assert "byte 3 of the line (0xe9) is not valid UTF-8" in refusal(lambda: read(file, "fr", "en"))


@pytest.mark.parametrize("read", [read_tsv, read_csv])
def test_rows_of_too_few_or_too_many_columns(
    file: Path, read: Callable[[Path, str | int, str | int], Iterator[Row | MalformedError]]
) -> None:
    def write(*rows: str) -> None:
        between = "\t" if read is read_tsv else ","
        file.write_text("".join(row.replace("|", between) + "\n" for row in rows))

    write("un|one", "deux", "trois|three|3", "", "quatre|four|", "cinq|five||", "six|six", "sept|||7")
    found = list(read(file, 1, 2))
    assert kinds(found) == [
        (1, "un"),
        (2, COLUMNS),
        (3, COLUMNS),
        (5, "quatre"),
        (6, "cinq"),
        (7, "six"),
        (8, COLUMNS),
    ]
    assert str(found[1]) == f"{file}:2: 1 column, and data.columns needs 2; fix the line"
    assert str(found[2]) == f"{file}:3: 3 columns, and the file has 2; fix the line"
    write("fr|x|en", "un|1|one", "deux|two", "trois|3|three|4")  # a header says how many there are
    assert kinds(read(file, "fr", "en")) == [(2, "un"), (3, COLUMNS), (4, COLUMNS)]
    write("en|fr|note", "one|un|1", "two|deux", "three|trois|3")  # what is missing is not needed
    assert kinds(read(file, "fr", "en")) == [(2, "un"), (3, "deux"), (4, "trois")]
    write("Go.|Va !|CC-BY", "Hi.|Salut !|CC-BY", "Run.|Cours !")  # Tatoeba's, by places
    assert kinds(read(file, 2, 1)) == [(1, "Va !"), (2, "Salut !"), (3, "Cours !")]
    write("x|y|a stray one", *["un|one"] * 5)  # the first row is not asked, most are
    assert kinds(read(file, 1, 2)) == [(1, COLUMNS), *((2 + i, "un") for i in range(5))]


@pytest.mark.parametrize(
    ("text", "places", "message"),
    [
        (
            "fr;en\nun;one\n",
            None,
            "F:1: no column 'fr'; .*; it looks separated by semicolons, so set data.delimiter=semicolon",
        ),
        (
            "fr\ten\nun\tone\n",
            None,
            "F:1: no column 'fr'; .*; it looks separated by tabs, so set data.format=tsv",
        ),
        ('{"fr": "un"}\n', None, "F:1: a quote .*; it looks like JSON Lines, so set data.format=jsonl"),
        (
            "Oui, toi;Yes, you\nun;one\n",
            (1, 2),
            "F: it looks separated by semicolons, so set data.delimiter=semicolon",
        ),
        ("Oui, toi\tYes, you\nun\tone\n", (1, 2), "F: it looks separated by tabs, so set data.format=tsv"),
        ("Oui, toi\tYes, you\n" * 2, (1, 2), "F: it looks separated by tabs, so set data.format=tsv"),
        (
            "Oui, toi;Yes, you\n" * 5,
            (1, 2),
            "F: it looks separated by semicolons, so set data.delimiter=semicolon",
        ),
        ("un|||one\nOui, toi ||| Yes\n", (1, 2), "F: it looks separated by '|||', so rewrite the file"),
    ],
)
def test_another_separator_is_named(
    file: Path, text: str, places: tuple[int, int] | None, message: str
) -> None:
    file.write_text(text)
    columns: tuple[str | int, str | int] = places or ("fr", "en")
    found = refusal(lambda: read_csv(file, *columns)).replace(str(file), "F")
    assert re.match(message.replace("|", r"\|"), found), found


def test_other_separators_within_texts_are_text(file: Path) -> None:
    file.write_text('a;b,c\nd;e,f|\ng,h;\n"i\t",j\n')
    assert kinds(read_csv(file, 1, 2)) == [(1, "a;b"), (2, "d;e"), (3, "g"), (4, "i\t")]


def test_a_csv_given_as_tsv_is_named(file: Path) -> None:
    file.write_text("fr,en\nun,one\n")
    advice = "it looks separated by commas, so set data.format=csv"
    assert refusal(lambda: read_tsv(file, "fr", "en")).endswith(f"the header has fr,en; {advice}")
    assert [str(row) for row in read_tsv(file, 1, 2)] == [
        f"{file}:{line}: 1 column, and data.columns needs 2; {advice}" for line in (1, 2)
    ]


@pytest.mark.parametrize(
    ("line", "kind", "problem"),
    [
        ("{", JSON, "not valid JSON: Expecting property name"),
        ("[" * 100_000, JSON, "not valid JSON: "),
        (f'{{"fr": "un", "en": "one", "n": {"9" * 5000}}}', JSON, "not valid JSON: Exceeds the limit"),
        ("3", NO_TEXT, "not a record with columns 'fr' and 'en'"),
        (
            '{"fr": "un", "de": "x"}',
            NO_TEXT,
            "no column 'en'; there are: fr, de; set data.columns to two of them",
        ),
        ('{"translation": {"fr": "un"}}', NO_TEXT, "no column 'en'; there are: fr; set data.columns to two"),
        ('{"translation": null}', NO_TEXT, "no column 'fr'; there are: translation; set data.columns to two"),
        ('{"fr": "un", "en": null}', NO_TEXT, "column 'en' holds null, not text; fix the row"),
        ('{"fr": "un", "en": 12}', NO_TEXT, "column 'en' holds 12, not text; fix the row"),
        ('{"fr": "un", "en": ["one"]}', NO_TEXT, "column 'en' holds [\"one\"], not text; fix the row"),
        ('{"fr": "un", "en": "\\ud83d"}', SURROGATE, "column 'en' holds half a surrogate pair; fix the row"),
        ("x" * MAX_LINE_BYTES, LONG, "the line has more than 1,000,000 bytes; cut it into sentences"),
    ],
    ids=range(12),
)
def test_a_line_of_json_that_is_no_pair_of_texts_is_named(
    file: Path, line: str, kind: int, problem: str
) -> None:
    good = '{"fr": "un", "en": "one"}'
    file.write_text(f"{good}\n{line}\n\n \t\n{good}\n")
    first, bad, last = read_jsonl(file, "fr", "en")
    assert (first, last) == (Row(1, "un", "one", 0), Row(5, "un", "one", 0))
    assert isinstance(bad, MalformedError)
    assert (bad.line, bad.problem) == (2, kind)
    assert str(bad).startswith(f"{file}:2: {problem}")
    assert "set_int_max_str_digits" not in str(bad)


def test_rows_of_a_table_count_on_over_batches() -> None:
    batches = [
        {"fr": ["un", None], "en": ["one", "two"]},
        {"fr": [b"trois", "quatre"], "en": ["three", "four"]},
    ]
    found = list(read_records(batches, "fr", "en", where="x"))
    assert kinds(found) == [(1, "un"), (2, NO_TEXT), (3, NO_TEXT), (4, "quatre")]
    assert str(found[1]) == "x, row 2: column 'fr' holds null, not text; fix the row"


def test_a_line_of_either_file_that_is_no_utf8_spoils_its_pair_alone(tmp_path: Path) -> None:
    source, target = tmp_path / "a.fr", tmp_path / "a.en"
    source.write_bytes("\n".join(["é", "x", "trois", "quatre", ""]).encode().replace(b"x", b"d\xe9j"))
    target.write_bytes(b"one\ntwo\nthr\xe9\n" + b"x" * (MAX_LINE_BYTES + 5) + b"\n")
    assert kinds(read_parallel(source, target)) == [(1, "é"), (2, UTF8), (3, UTF8), (4, LONG)]


def test_a_whole_surrogate_pair_is_text(file: Path) -> None:
    file.write_text('{"fr": "\\ud83d\\ude00", "en": "\\u2028"}\n')
    assert list(read_jsonl(file, "fr", "en")) == [Row(1, "😀", "\u2028", 0)]


def test_a_column_of_that_name_goes_before_a_translation_map() -> None:
    record = {"fr": "un", "en": "one", "translation": {"fr": "x", "en": "y"}}
    assert pair_of(record, "fr", "en", line=1, where="x") == ("un", "one")
    assert pair_of(record, "en", "fr", line=1, where="x") == ("one", "un")


def test_a_value_that_is_no_json_either_is_shown(file: Path) -> None:
    with pytest.raises(DataError) as caught:
        pair_of({"fr": b"un", "en": "one"}, "fr", "en", line=1, where="x, row 1")
    assert str(caught.value) == "x, row 1: column 'fr' holds \"b'un'\", not text; fix the row"


def test_a_column_that_is_there_twice_is_refused(file: Path) -> None:
    file.write_text("fr\ten\tfr\nun\tone\tdeux\n")
    with pytest.raises(DataError, match=r":1: the header has 'fr' twice; rename one of the columns"):
        list(read_tsv(file, "fr", "en"))
