"""The lines of a text file. Their text is not normalised.

Only `\\n` ends a line. U+2028, U+0085 and a `\\r` without `\\n` count as text. The `\\r` of a line ending
`\\r\\n` is removed, and so is a byte order mark at the start of the file. Both removals are recorded in
`Line.notes`.
"""

import codecs
import io
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

from translator.data.opening import UnpackError, open_binary
from translator.errors import DataError

#: Bit flags of `Line.notes`. They tell what was removed from the line.
CRLF, BOM = 1, 2
#: Bit flag of a pair: inline markup was removed from one of its segments. (4 to 64 are in `oddities`.)
MARKUP = 128

#: Reasons why a row is malformed.
UTF8, LONG, COLUMNS, QUOTE, JSON, NO_TEXT, SURROGATE, UNFINISHED = range(1, 9)

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

#: Single-byte encodings that are tried on text which is not UTF-8: of Windows, Unix, the old Mac and DOS.
_OTHER_ENCODINGS = ("cp1252", "iso8859-15", "mac-roman", "cp850")
#: Characters beyond ASCII that are frequent in French or English text.
_EXPECTED = frozenset("àâäçèéêëîïôöùûüœæÀÂÇÈÉÊËÎÏÔÙÛÜŒ«»’‘“”–—…€°\u00a0")

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

# Bytes that cannot be decoded become U+DCFF, which is encoded as 0xFF and thus makes the line invalid UTF-8.
codecs.register_error("mark", lambda error: ("\udcff", cast(UnicodeDecodeError, error).end))


class MalformedError(DataError):
    """The error for a row that is not a pair of texts. Readers yield it in place of the row and continue.

    Attributes:
        line: number of the row's first line, from 1.
        problem: the reason why the row is malformed, one of the constants from `UTF8` to `UNFINISHED`.
    """

    def __init__(self, line: int, problem: int, message: str):
        super().__init__(message)
        self.line, self.problem = line, problem


class Line(NamedTuple):
    """A line of a file: its number (from 1), its text without the line ending, and bit flags."""

    number: int
    text: str
    notes: int


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a UTF-8 file.

    Raises:
        DataError: see `scan_lines`. Also raised if a line is malformed.
    """
    for line in scan_lines(path):
        if isinstance(line, MalformedError):
            raise line
        yield line


def scan_lines(path: Path, encoding: str = "utf-8") -> Iterator[Line | MalformedError]:
    """Yield the lines of a file. In place of a line that is too long or cannot be decoded, yield an error.

    Raises:
        DataError: the file cannot be read, is not text, is packed and damaged, seems to be in another
            encoding than UTF-8 although `encoding` is UTF-8, or has lines that end in CR alone.
    """
    is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    number = n_other = 0
    has_utf8 = False  # whether any valid line has a character beyond ASCII
    others: list[bytes] = []  # the first lines that are not UTF-8
    raw = b""
    try:
        with open_binary(path, encoding=encoding) as file:
            readline = file.readline if is_utf8 else _utf8_readline(file, encoding)
            read = partial(readline, MAX_LINE_BYTES + 1)
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
                    others += [raw] if len(others) < _N_OTHER_ENCODING else []
                    problem = f"the line is not valid in data.encoding={encoding}; fix one of them"
                    if is_utf8:
                        problem = _invalid_utf8(raw, at=error.start, after_bom=bool(notes & BOM))
                    yield MalformedError(number, UTF8, f"{path}:{number}: {problem}")
                    continue
                has_utf8 = has_utf8 or not raw.isascii()
                yield Line(number, text, notes)
    except UnpackError as error:
        raise DataError(f"{path}:{number + 1}{str(error).removeprefix(str(path))}") from None
    except UnicodeError as error:  # UTF-16 or UTF-32 without a byte order mark
        raise DataError(f"{path}: {error}; set data.encoding={encoding}-le or {encoding}-be") from None
    if number == 1 and raw.count(b"\r") >= _N_LONE_CR:
        raise DataError(f"{path}: its lines end in CR alone, as on old Macs; convert them to LF")
    if is_utf8 and not has_utf8 and n_other >= max(_N_OTHER_ENCODING, number / 4):
        likely = other_encodings(b" ".join(others))[0]
        raise DataError(
            f"{path}: {n_other:,} of {number:,} lines are not valid UTF-8, and all others are ASCII; it "
            f"looks like {likely}, so convert the file to UTF-8, or for a corpus set data.encoding={likely}"
        )


def _utf8_readline(file: io.BufferedReader, encoding: str) -> Callable[[int], bytes]:
    """Return a function that reads a line, in UTF-8. Each run of invalid bytes becomes 0xFF."""
    text = io.TextIOWrapper(file, encoding, errors="mark", newline="\n")
    return lambda n_characters: text.readline(n_characters).encode("utf-8", "surrogateescape")


def _invalid_utf8(raw: bytes, *, at: int, after_bom: bool) -> str:
    byte = at + 1 + (3 if after_bom else 0)
    return (
        f"byte {byte} of the line (0x{raw[at]:02x}) is not valid UTF-8; convert the file to UTF-8, or for a "
        f"corpus set data.encoding; {' or '.join(other_encodings(raw)[:2])} can decode it"
    )


def other_encodings(raw: bytes) -> list[str]:
    """Return the encodings that can decode a text which is not UTF-8, the most plausible one first.

    An encoding is plausible if it decodes the bytes beyond ASCII to characters that French or English has.
    """
    scores = {}
    for encoding in _OTHER_ENCODINGS:
        with suppress(UnicodeDecodeError):
            beyond = [character for character in raw.decode(encoding) if character > "\x7f"]
            scores[encoding] = sum(1 if character in _EXPECTED else -1 for character in beyond)
    return sorted(scores, key=lambda encoding: -scores[encoding])


def guess_encoding(raw: bytes) -> str:
    """Return the encoding that most lines of a text seem to have: UTF-8, or another of single bytes."""
    lines = [line for line in raw.split(b"\n") if not line.isascii()]
    others = [line for line in lines if "\ufffd" in line.decode("utf-8", "replace")]
    return other_encodings(b"\n".join(others))[0] if 2 * len(others) > len(lines) else "utf-8"


def replace_surrogates(text: str) -> str:
    """Replace each lone surrogate with U+FFFD. JSON can contain lone surrogates, but UTF-8 cannot."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return a text with each line break, and the spaces around it, replaced by one space."""
    return " ".join(filter(None, map(str.strip, text.split("\n")))) if "\n" in text else text
