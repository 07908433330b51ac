"""The lines of a UTF-8 file. Their text is not normalised.

Only `\\n` ends a line. U+2028, U+0085 and a `\\r` without `\\n` count as text. The `\\r` of a line ending
`\\r\\n` is removed, and so is a byte order mark at the start of the file. Both removals are recorded in
`Line.notes`.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from translator.data.file_kinds import N_HEAD_BYTES, not_text
from translator.errors import DataError

#: Bit flags of `Line.notes`. They tell what was removed from the line.
CRLF, BOM = 1, 2

#: Reasons why a row is malformed.
UTF8, LONG, COLUMNS, QUOTE, JSON, NO_TEXT, SURROGATE = range(1, 8)

#: Maximum length of a line or of a CSV record. Longer ones are treated as malformed, so that no file can
#: exhaust the memory.
MAX_LINE_BYTES = 1_000_000
LONG_LINE = f"the line has more than {MAX_LINE_BYTES:,} bytes; cut it into sentences"

#: A file is assumed not to be UTF-8 if at least this many lines, and at least a quarter of all lines, are
#: invalid as UTF-8, and if all other lines are ASCII.
_N_OTHER_ENCODING = 10
#: If a file has a single line, and this line has at least this many `\r`, then the file is assumed to use
#: `\r` as its line ending.
_N_LONE_CR = 10

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class MalformedError(DataError):
    """The error for a row that is not a pair of texts. Readers yield it in place of the row and continue.

    Attributes:
        line: number of the row's first line, from 1.
        problem: the reason why the row is malformed, one of the constants from `UTF8` to `SURROGATE`.
    """

    def __init__(self, line: int, problem: int, message: str):
        super().__init__(message)
        self.line, self.problem = line, problem


class Line(NamedTuple):
    """A line of a file: its number (from 1), its text without the line ending, and bit flags."""

    number: int
    text: str
    notes: int


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """Open a file, which may be a pipe. If it starts like a gzip file, it is decompressed while it is read.

    Raises:
        DataError: the file cannot be read, or it is neither text nor gzip. In the second case, the message
            names the kind of file, such as an archive or a document.
    """
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] == b"\x1f\x8b":
                with gzip.open(file) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                _refuse_other_kinds(path, file.peek(N_HEAD_BYTES))
                yield file
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; name a file in it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check data.root and data.files") from None


def _refuse_other_kinds(path: Path, head: bytes) -> None:
    problem = not_text(path, head[:N_HEAD_BYTES])
    if problem is not None:
        raise DataError(f"{path} {problem}")


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a UTF-8 file.

    Raises:
        DataError: see `scan_lines`. Also raised if a line is malformed.
    """
    for line in scan_lines(path):
        if isinstance(line, MalformedError):
            raise line
        yield line


def scan_lines(path: Path) -> Iterator[Line | MalformedError]:
    """Yield the lines of a UTF-8 file. In place of a line that is too long or not UTF-8, yield an error.

    Raises:
        DataError: the file cannot be read, is not text, is a damaged gzip file, seems to be in another
            encoding than UTF-8, or has lines that end in CR alone.
    """
    with open_binary(path) as file:
        number = n_other = 0
        has_utf8 = False  # whether any valid line has a character beyond ASCII
        try:
            if isinstance(file, gzip.GzipFile):
                _refuse_other_kinds(path, file.peek(N_HEAD_BYTES))
            raw = b""
            read = partial(file.readline, MAX_LINE_BYTES + 1)
            for number, raw in enumerate(iter(read, b""), start=1):
                if len(raw) > MAX_LINE_BYTES:
                    while raw and not raw.endswith(b"\n"):  # skip the rest of the line
                        raw = read()
                    yield MalformedError(number, LONG, f"{path}:{number}: {LONG_LINE}")
                    continue
                notes = 0
                if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                    raw, notes = raw[3:], BOM
                if raw.endswith(b"\r\n"):
                    raw, notes = raw[:-2], notes | CRLF
                elif raw.endswith(b"\n"):
                    raw = raw[:-1]
                try:
                    text = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    n_other += 1
                    yield _invalid_utf8(path, number, raw, at=error.start, after_bom=bool(notes & BOM))
                    continue
                has_utf8 = has_utf8 or not raw.isascii()
                yield Line(number, text, notes)
            if number == 1 and raw.count(b"\r") >= _N_LONE_CR:
                raise DataError(f"{path}: its lines end in CR alone, as on old Macs; convert them to LF")
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise DataError(f"{path}:{number + 1}: damaged gzip file: {error}; fetch it again") from None
    if not has_utf8 and n_other >= max(_N_OTHER_ENCODING, number / 4):
        raise DataError(
            f"{path}: {n_other:,} of {number:,} lines are not valid UTF-8, and all others are ASCII; it "
            "looks like Windows-1252 or Latin-1, so convert the file to UTF-8"
        )


def _invalid_utf8(path: Path, number: int, raw: bytes, *, at: int, after_bom: bool) -> MalformedError:
    byte = at + 1 + (3 if after_bom else 0)
    problem = f"byte {byte} of the line (0x{raw[at]:02x}) is not valid UTF-8; convert the file to UTF-8"
    return MalformedError(number, UTF8, f"{path}:{number}: {problem}")


def replace_surrogates(text: str) -> str:
    """Replace each lone surrogate with U+FFFD. JSON can contain lone surrogates, but UTF-8 cannot."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)
