"""Formats, encodings and packed files: what `data.format` and its neighbours do to a file."""

import gzip
import lzma
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from reading import refusal

from translator.config import DataConfig
from translator.config.sections import InvalidConfigError, validate
from translator.data import locations
from translator.data.corpus import fingerprints, open_split
from translator.data.formats import read_files
from translator.data.lines import UTF8, MalformedError, guess_encoding, other_encodings, scan_lines
from translator.data.opening import zip_names
from translator.data.readers import Row
from translator.data.workbooks import workbook_records
from translator.data.xml_files import read_tmx, read_xliff
from translator.errors import DataError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from people_files import zst


def read(path: Path, file_format: str, **keys: Any) -> Iterator[Row | MalformedError]:
    config = DataConfig(format=file_format, files={"train": str(path)}, **keys)
    return read_files(config, {"fr": path, "en": path})


UNITS = (
    "".join(
        f'<tu><tuv xml:lang="fr"><seg>{i}</seg></tuv>\n<tuv xml:lang="en"><seg>{i}</seg></tuv></tu>\n'
        for i in range(40_000)
    )
    + '<tu><tuv xml:lang="fr"><seg>x</seg></tuv></tu>'
)


@pytest.mark.slow
def test_lines_of_long_xml_files_are_counted_on(file: Path) -> None:
    """libxml2 counts to 65,535 by itself."""
    file.write_text(f"<tmx><body>\n{UNITS}</body></tmx>")
    *rows, last = read_tmx(file, "fr", "en")
    assert [row.line for row in rows] == [2 + 2 * i for i in range(40_000)]
    assert str(last) == f"{file}:80002: no segment in 'en'; there are: fr; set data.columns to two of them"


def test_one_variant_can_be_chosen(file: Path) -> None:
    variants = "".join(f'<tuv xml:lang="{x}"><seg>{x}</seg></tuv>' for x in ("fr-CA", "fr-FR", "en", "frp"))
    file.write_text(f"<tmx><body><tu>{variants}</tu></body></tmx>")

    def sources(**keys: Any) -> list[str]:
        return [row.source for row in read(file, "tmx", **keys) if isinstance(row, Row)]

    assert sources() == ["fr-CA", "fr-FR"]
    assert sources(columns={"fr": "fr-FR"}) == ["fr-FR"]


@pytest.mark.parametrize("file_format", ["tmx", "xliff", "xlsx"])
def test_a_file_given_as_another_format_is_named(file: Path, file_format: str) -> None:
    file.write_text("fr,en\nun,one\n")
    problem = "damaged workbook: File is not a zip file" if file_format == "xlsx" else "not valid XML: Start"
    assert f": {problem}" in refusal(lambda: read(file, file_format))
    file.write_text('msgid ""\n')
    assert refusal(lambda: read(file, file_format)) == (
        f"{file} is a PO file, not {file_format}; set data.format=po"
    )


XLIFF = """<xliff version="1.2"><file source-language="{}"{}><body><trans-unit id="1">
<source>Oui.</source><target>Yes.</target></trans-unit></body></file></xliff>"""


@pytest.mark.parametrize(("source", "target", "refused"), [
    ("fr-CA", "en-US", ""), ("fr", "", ""), ("en", "fr", ""), ("en", "", ""),
    ("fr", "de", "it is from 'fr' into 'de', not between fr and en"),
    ("en", "de", "it is from 'en' into 'de', not between fr and en"),
    ("de", "", "it is from 'de' into 'nothing', not between fr and en"),
])  # fmt: skip
def test_both_languages_of_an_xliff_file_are_compared(
    file: Path, source: str, target: str, refused: str
) -> None:
    file.write_text(XLIFF.format(source, f' target-language="{target}"' if target else ""))
    if refused:
        with pytest.raises(DataError, match=re.escape(f"{file}:1: {refused}; ")):
            list(read_xliff(file, "fr", "en"))
    else:
        expected = ("Yes.", "Oui.") if source == "en" else ("Oui.", "Yes.")
        assert [(row.source, row.target) for row in read_xliff(file, "fr", "en")] == [expected]


@pytest.mark.parametrize("code", ["<ph>&lt;br/&gt;</ph>", '<ph ctype="lb"/>', "<ph>&lt;br&gt;</ph> "])
def test_code_that_breaks_a_line_becomes_a_space(file: Path, code: str) -> None:
    segments = f"<tuv xml:lang='fr'><seg>Un{code}deux</seg></tuv><tuv xml:lang='en'><seg>a<ph/>b</seg></tuv>"
    file.write_text(f"<tmx><body><tu>{segments}</tu></body></tmx>")
    assert [(row.source, row.target) for row in read_tmx(file, "fr", "en")] == [("Un deux", "ab")]


def test_escaped_characters_of_a_workbook_are_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["fr", "en"], ["Bonjour_x000D_\nle monde", "Hello_x000D_\nworld"]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    rows = list(workbook_records(tmp_path / "a.xlsx"))
    assert rows[1].fields == ["Bonjour le monde", "Hello world"]


def test_a_workbook_inside_another_file_is_named(tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    (tmp_path / "a.xlsx.gz").write_bytes(gzip.compress((tmp_path / "a.xlsx").read_bytes()))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tmp_path / "a.xlsx", "a.xlsx")
    for path in (tmp_path / "a.xlsx.gz", tmp_path / "b.zip" / "a.xlsx"):
        message = f"{path} is an archive or a workbook inside another file, not xlsx; unpack it"
        with pytest.raises(DataError, match=re.escape(message)):
            list(workbook_records(path))


def test_text_given_as_po_is_refused(file: Path) -> None:
    file.write_text("un\none\n")
    assert refusal(lambda: read(file, "po")) == (
        f"{file}: not a valid PO file: Syntax error in po file (line 1); fix it, or set data.encoding"
    )


def test_a_po_file_in_other_languages_says_what_to_set(file: Path) -> None:
    file.write_text('msgid ""\nmsgstr "Language: de\\n"\n\nmsgid "one"\nmsgstr "eins"\n')
    assert refusal(lambda: read(file, "po")) == (
        f"{file}: its header names the language de; "
        "set data.columns={fr: msgid, en: msgstr}, or the other way round"
    )


ENCODED = "fr\ten\nété\tsummer\nforêt\tforest\n"


@pytest.mark.parametrize(
    "encoding", ["cp1252", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "mac-roman", "utf-8-sig"]
)
def test_text_is_read_in_its_encoding(file: Path, encoding: str) -> None:
    file.write_bytes(ENCODED.encode(encoding))
    rows = [(row.source, row.target) for row in read(file, "tsv", encoding=encoding)]
    assert rows == [("été", "summer"), ("forêt", "forest")]


def test_the_same_file_in_another_encoding_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(ENCODED.encode("cp1252"))

    def targets(encoding: str) -> list[str]:
        keys = {"files": {"train": f"{tmp_path}/a.tsv"}, "cache": f"{tmp_path}/cache", "input_map": None}
        table = open_split(DataConfig(format="tsv", encoding=encoding, **keys), "train", seed=1)
        return list(table["source"])

    assert targets("cp1252") == ["été", "forêt"]
    assert targets("mac-roman") == ["ÈtÈ", "forÍt"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_an_encoding_that_needs_a_byte_order_mark_is_refused_without_it(file: Path, encoding: str) -> None:
    file.write_bytes("été".encode(f"{encoding}-be"))
    assert refusal(lambda: scan_lines(file, encoding)) == (
        f"{file}: {encoding.upper()} stream does not start with BOM; "
        f"set data.encoding={encoding}-le or {encoding}-be"
    )


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-16", ENCODED.encode("utf-16") + b"\0"),
        ("cp1252", ENCODED.encode("cp1252") + b"\x81\tx"),
        ("ascii", b"fr\ten\nun\tone\ndeux\ttwo\n\xe9t\xe9\tsummer"),
    ],
)
def test_a_line_that_its_encoding_does_not_have_is_left_out(
    file: Path, encoding: str, content: bytes
) -> None:
    file.write_bytes(content)
    *rows, last = read(file, "tsv", encoding=encoding)
    assert [row.line for row in rows] == [2, 3]
    assert isinstance(last, MalformedError)
    assert (last.line, last.problem) == (4, UTF8)
    message = f"{file}:4: the line is not valid in data.encoding={encoding}; fix one of them"
    assert str(last) == message


@pytest.mark.parametrize("encoding", ["cp1252", "mac-roman", "cp850"])
def test_the_encoding_of_french_is_guessed(encoding: str) -> None:
    raw = "Où êtes-vous né ? À l'école, déjà.\nÇa\n".encode(encoding)
    assert other_encodings(raw)[0] == encoding
    assert guess_encoding(raw + b"ASCII\n") == encoding


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"encoding": "klingon"}, "data.encoding=klingon is not an encoding that Python knows"),
        ({"encoding": "base64"}, "data.encoding=base64 is not an encoding that Python knows"),
        ({"format": "xlsx", "encoding": "cp1252"}, "data.encoding=cp1252 has no effect on data.format=xlsx"),
        ({"format": "jsonl", "delimiter": "tab"}, "data.delimiter=tab has no effect on data.format=jsonl"),
        ({"format": "tmx", "quoting": "none"}, "data.quoting=none has no effect on data.format=tmx"),
    ],
)
def test_keys_that_would_have_no_effect_are_refused(keys: dict[str, str], message: str) -> None:
    data = {"format": "csv", "files": {"train": "a"}, **keys}
    with pytest.raises(InvalidConfigError) as caught:
        validate({"data": data, "train": {"max_steps": 1}})
    assert message in str(caught.value.problems[0]["ctx"]["error"])


def test_delimiter_and_quoting(file: Path) -> None:
    file.write_text('fr;en\n"a;b";"c"\n')
    assert [*read(file, "csv", delimiter="semicolon")] == [Row(2, "a;b", "c", 0)]
    file.write_text('fr;en\n"a;"c"\n')
    assert [*read(file, "csv", delimiter="semicolon", quoting="none")] == [Row(2, '"a', '"c"', 0)]
    file.write_text('fr\ten\n"a\tb"\t"c"\n')
    assert [*read(file, "tsv", quoting="double")] == [Row(2, "a\tb", "c", 0)]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "zst": zst,
}


@pytest.mark.parametrize("end", PACK)
def test_a_damaged_packed_file_names_file_and_line(file: Path, end: str) -> None:
    text = "".join(f"{i * i}\n" for i in range(60_000)).encode()
    packed = PACK[end](text)
    file.write_bytes(packed)
    assert sum(1 for _ in scan_lines(file)) == 60_000
    for damaged in (packed[:-3], packed[: len(packed) // 2]):
        file.write_bytes(damaged)
        said = refusal(lambda: scan_lines(file))
        assert said.startswith(f"{file}:")
        assert int(said.removeprefix(f"{file}:").split(":")[0]) > 1
        assert ": damaged " in said


@pytest.mark.parametrize("end", PACK)
def test_a_packed_file_is_found_by_the_name_of_the_plain_one(tmp_path: Path, end: str) -> None:
    (tmp_path / f"a.tsv.{end}").write_bytes(PACK[end](ENCODED.encode()))
    config = DataConfig(format="tsv", root=str(tmp_path), files={"train": "a.tsv"}, cache=f"{tmp_path}/cache")
    assert open_split(config, "train", seed=1)["target"] == ["summer", "forest"]


def zip_of(folder: Path, **members: str) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name, text in members.items():
            archive.writestr(f"in/{name}", text)
    return folder / "a.zip"


def test_members_of_one_archive_are_told_apart(tmp_path: Path) -> None:
    path = zip_of(tmp_path, train=ENCODED, other="fr\ten\nun\tone\n")

    def config(member: str) -> DataConfig:
        return DataConfig(format="tsv", files={"train": f"{path}/in/{member}"}, cache=f"{tmp_path}/cache")

    assert open_split(config("train"), "train", seed=1)["target"] == ["summer", "forest"]
    assert open_split(config("other"), "train", seed=1)["target"] == ["one"]
    assert fingerprints(config("train")) != fingerprints(config("other"))
    with pytest.raises(DataError, match=r"a\.zip has no file 'in/no'; it has in/train, in/other$"):
        open_split(config("no"), "train", seed=1)


def test_an_archive_may_be_at_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zip_of(tmp_path, train=ENCODED).rename(tmp_path / "fetched")
    addresses: list[str] = []

    def download(url: str, folder: Path, *, force: bool = False) -> Path:
        addresses.append(url)
        return path

    monkeypatch.setattr(locations, "download", download)
    files = {"train": "https://opus.example/en-fr.zip/in/train"}
    config = DataConfig(format="tsv", files=files, cache=f"{tmp_path}/cache")
    assert open_split(config, "train", seed=1)["target"] == ["summer", "forest"]
    assert set(addresses) == {"https://opus.example/en-fr.zip"}


@pytest.mark.parametrize("name", ["Livres : tome 1.tsv", "old\\windows.tsv"])
def test_a_name_in_an_archive_may_have_any_character(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, "fr\ten\nun\tone\n")
    assert [row[1:3] for row in read(tmp_path / "a.zip" / name, "tsv")] == [("un", "one")]


@pytest.mark.parametrize("name", ["/a.tsv", "../a.tsv", "in/../../a.tsv", "in\\..\\a.tsv", "C:a.tsv"])
def test_a_name_that_may_lead_out_of_an_archive_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, "fr\ten\nun\tone\n")
    with pytest.raises(DataError, match="may lead out of the archive"):
        zip_names(tmp_path / "a.zip")


@pytest.mark.parametrize("character", ["\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_what_python_takes_for_a_line_end_is_text_in_a_po_file(file: Path, character: str) -> None:
    file.write_text(f'msgid "one{character}two"\nmsgstr "un{character}deux"\n', encoding="utf-8", newline="")
    pairs = [row[1:3] for row in read(file, "po", columns={"en": "msgid", "fr": "msgstr"})]
    assert pairs == [("un deux", "one two")]
