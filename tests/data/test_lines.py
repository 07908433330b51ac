"""Lines: their text is unchanged, and the kind of a file that is not text is reported."""

import bz2
import gzip
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import LINE_ENDS, TEXT, of_one_line, refusal

from translator.data.lines import (
    BOM,
    CRLF,
    LONG,
    MAX_LINE_BYTES,
    UTF8,
    MalformedError,
    read_lines,
    scan_lines,
)


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


@given(lines=st.lists(TEXT.map(of_one_line), max_size=6), n_times=st.integers(0, 2))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_of_any_text_are_read_back_however_often_packed(
    file: Path, lines: list[str], n_times: int
) -> None:
    data = "".join(line + "\n" for line in lines).encode()
    for _ in range(n_times):
        data = gzip.compress(data)
    file.write_bytes(data)
    assert [line.text for line in read_lines(file)] == lines


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with a byte order mark"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_invalid_utf8_names_file_line_and_byte(file: Path, mark: bytes, zipped: bool) -> None:
    def write(data: bytes) -> None:
        file.write_bytes(gzip.compress(data) if zipped else data)

    write(mark + b"d\xe9j\xc3\xa0\n")
    problem = (
        "(0xe9) is not valid UTF-8; convert the file to UTF-8, or for a corpus set data.encoding; "
        "cp1252 or iso8859-15 can decode it"
    )
    # Bytes are counted as in the file, including a byte order mark.
    assert refusal(lambda: read_lines(file)) == f"{file}:1: byte {len(mark) + 2} of the line {problem}"
    write(mark + b"un\n\xc3\xa9t\xe9")
    assert refusal(lambda: read_lines(file)) == f"{file}:2: byte 4 of the line {problem}"


def test_half_a_surrogate_pair_is_no_utf8(file: Path) -> None:
    file.write_bytes(b"a\n\xed\xa0\x80\n")
    assert refusal(lambda: read_lines(file)).startswith(f"{file}:2: byte 1 of the line (0xed) is not valid")


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


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "Bonjour.")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.fr"))
    return buffer.getvalue()


LINES = "Bonjour.\nÇa va ?\n" * 20
TO_UTF8 = "convert it to UTF-8, or for a corpus set data.encoding="
MEMBER = "name a file in it, as in NAME.zip/FILE"
# Files that are not text: their bytes and the message.
OTHER_KINDS = {
    "zip": (zipped("a.fr", "a.en"), f"is a zip archive, not text in UTF-8; {MEMBER}"),
    "docx": (
        zipped("[Content_Types].xml", "word/document.xml"),
        "is a Word document, not text .*; save its text",
    ),
    "xlsx": (
        zipped("[Content_Types].xml", "xl/workbook.xml"),
        "is an Excel workbook, not .*; set data.format=xlsx",
    ),
    "odt": (
        zipped("mimetype", "content.xml"),
        "is an OpenDocument file, not text .*; save its text as UTF-8",
    ),
    "bz2": (bz2.compress(LINES.encode()), "is packed with bzip2, not text in UTF-8; unpack it with bunzip2"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "is a 7-Zip archive, .*; unpack it, and name a file in it"),
    "rar": (b"Rar!\x1a\x07\1\0", "is a RAR archive, .*; unpack it, and name a file in it"),
    "tar": (tarred(), "is a tar archive, .*; unpack it, and name a file in it"),
    "tar.gz": (gzip.compress(tarred()), "is a tar archive, .*; unpack it, and name a file in it"),
    "zip.gz": (gzip.compress(zipped("a")), "is an archive or a workbook inside another file, .*; unpack it"),
    "tmx": (b"<?xml version='1.0'?>\n<tmx version='1.4'>", "is a TMX file, .*; set data.format=tmx"),
    "tmx in utf-16": (
        "<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE tmx SYSTEM 'tmx14.dtd'>".encode("utf-16"),
        "is a TMX file, .*; set data.format=tmx",
    ),
    "xliff": (b"\xef\xbb\xbf\n<xliff version='1.2'>", "is an XLIFF file, .*; set data.format=xliff"),
    "xml": (b"<?xml version='1.0'?>\n<text>", "is an XML file, not text in UTF-8; save its pairs as TMX"),
    "po": (b'# French\nmsgid ""\nmsgstr ""', "is a PO file, not text in UTF-8; set data.format=po"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "is a PDF document, .*; save its text as UTF-8, and name that file"),
    "doc": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "is a document of an old version of Word or Excel, .*; save its",
    ),
    "parquet": (b"PAR1\x15\4", "is a Parquet file, not text in UTF-8; set data.format=parquet"),
    "sqlite": (b"SQLite format 3\0\x10", "is an SQLite database, .*; write its table into a TSV file"),
    "utf-16": (LINES.encode("utf-16"), f"is text in UTF-16, .*; {TO_UTF8}"),
    "utf-16 big-endian": (
        "\ufeff".encode("utf-16-be") + LINES.encode("utf-16-be"),
        f"is .* UTF-16, .*; {TO_UTF8}",
    ),
    "utf-16 without a mark": (LINES.encode("utf-16-le")[:16], f"is text in UTF-16-LE, .*; {TO_UTF8}"),
    "utf-16 without a mark, other end": (
        LINES.encode("utf-16-be")[:16],
        f"is text in UTF-16-BE, .*; {TO_UTF8}utf-16-be",
    ),
    "utf-32": (LINES.encode("utf-32"), f"is text in UTF-32, .*; {TO_UTF8}"),
}


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_a_file_that_is_no_text_is_named_for_what_it_is(file: Path, name: str) -> None:
    data, message = OTHER_KINDS[name]
    file.write_bytes(data)
    said = refusal(lambda: scan_lines(file))
    assert re.match(f"{file} {message}", said), said


@pytest.mark.parametrize("text", ["PK", "BZh", "%PD", '{"', "7zip", "a\0b\0c", "PAR", "\0" * 40])
def test_text_that_begins_like_another_kind_is_text(file: Path, text: str) -> None:
    file.write_text(text + "\n")
    assert [line.text for line in read_lines(file)] == [text]


def test_a_folder_is_named(tmp_path: Path) -> None:
    assert refusal(lambda: scan_lines(tmp_path)) == f"{tmp_path} is a folder; name a file in it"


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("end", [b"\n", b""], ids=["", "to the end"])
def test_a_line_without_end_is_malformed_and_not_held(
    file: Path, end: bytes, compress: Callable[[bytes], bytes]
) -> None:
    after = b"apr\xc3\xa8s\n" if end else b""
    file.write_bytes(compress(b"avant\n" + b"x" * 3_500_000 + end + after))
    found = list(scan_lines(file))
    assert [getattr(line, "text", None) for line in found] == ["avant", None, *(["après"] if after else [])]
    assert isinstance(found[1], MalformedError)
    assert (found[1].line, found[1].problem) == (2, LONG)
    assert str(found[1]) == f"{file}:2: the line has more than 1,000,000 bytes; cut it into sentences"
    assert refusal(lambda: read_lines(file)) == str(found[1])
    file.write_bytes(compress(b"x" * (MAX_LINE_BYTES - 1) + b"\n"))  # the longest there may be
    assert len(next(read_lines(file)).text) == MAX_LINE_BYTES - 1


def test_a_file_in_another_encoding_throughout_is_refused(file: Path) -> None:
    text = "".join(f"Ligne {i}.\n{'déjà' if i % 2 else 'non'}\n" for i in range(40))
    file.write_bytes(text.encode("cp1252"))
    assert refusal(lambda: scan_lines(file)) == (
        f"{file}: 20 of 80 lines are not valid UTF-8, and all others are ASCII; it looks like cp1252, so "
        "convert the file to UTF-8, or for a corpus set data.encoding=cp1252"
    )
    file.write_bytes("voilà\n".encode() + text.encode("cp1252"))  # a mixture: line by line
    found = [line for line in scan_lines(file) if isinstance(line, MalformedError)]
    assert [(line.line, line.problem) for line in found] == [(5 + 4 * i, UTF8) for i in range(20)]


def test_lines_that_end_in_cr_alone_are_no_line(file: Path) -> None:
    file.write_bytes(b"Oui.\r" * 40)
    assert refusal(lambda: scan_lines(file)) == (
        f"{file}: its lines end in CR alone, as on old Macs; convert them to LF"
    )
    file.write_bytes(b"Oui.\rNon.\n")  # as text
    assert [line.text for line in read_lines(file)] == ["Oui.\rNon."]
