"""Recognises what kind of file a file is, mostly by its first bytes, and what reads it."""

import codecs
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

#: Number of bytes at the start of a file that are needed to recognise what kind of file it is.
N_HEAD_BYTES = 4096

_UNPACK = "unpack it, and name a file in it"
_AS_TEXT = "save its text as UTF-8, and name that file"


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        name: what it is called.
        advice: what a user can do who gave it as another kind.
        reader: the value of `data.format` or, for text, of `data.encoding` that reads it, if any.
    """

    name: str
    advice: str
    reader: str = ""


def _text_in(encoding: str) -> Kind:
    advice = f"convert it to UTF-8, or for a corpus set data.encoding={encoding}"
    return Kind(f"text in {encoding.upper()}", advice, encoding)


ZIP = Kind("a zip archive", "name a file in it, as in NAME.zip/FILE")

#: The first bytes of kinds of files.
_BY_MAGIC = (
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", Kind("an empty zip archive", "fetch it again")),
    (b"BZh91AY&SY", Kind("packed with bzip2", "unpack it with bunzip2")),
    (b"\x04\x22\x4d\x18", Kind("packed with LZ4", "unpack it with unlz4")),
    (b"\x1f\x9d", Kind("packed with compress", "unpack it with gunzip")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive", _UNPACK)),
    (b"Rar!\x1a\x07", Kind("a RAR archive", _UNPACK)),
    (b"%PDF-", Kind("a PDF document", _AS_TEXT)),
    (b"{\\rtf", Kind("a Rich Text document", _AS_TEXT)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("a document of an old version of Word or Excel", _AS_TEXT)),
    (b"PAR1", Kind("a Parquet file", "set data.format=parquet", "parquet")),
    (b"ARROW1", Kind("an Arrow file", "save it as Parquet and set data.format=parquet")),
    (b"SQLite format 3\0", Kind("an SQLite database", "write its table into a TSV file")),
    (codecs.BOM_UTF32_LE, _text_in("utf-32")),
    (codecs.BOM_UTF32_BE, _text_in("utf-32")),
    (codecs.BOM_UTF16_LE, _text_in("utf-16")),
    (codecs.BOM_UTF16_BE, _text_in("utf-16")),
)

#: Maps file names to kinds of documents. A zip archive with a file of such a name is a document of this kind.
_IN_ZIP = {
    "word/document.xml": Kind("a Word document", _AS_TEXT),
    "xl/workbook.xml": Kind("an Excel workbook", "set data.format=xlsx", "xlsx"),
    "ppt/presentation.xml": Kind("a PowerPoint presentation", _AS_TEXT),
    "content.xml": Kind("an OpenDocument file", _AS_TEXT),
}

#: What `zipfile` raises for archives that are damaged, encrypted or packed in other ways.
ZIP_ERRORS = (OSError, ValueError, LookupError, RuntimeError, zipfile.BadZipFile)

#: How files of text begin that are of one kind.
_BY_BEGINNING = {
    r"(?s)<(.*<)?(!DOCTYPE\s+|\w+:)?tmx[\s>]": Kind("a TMX file", "set data.format=tmx", "tmx"),
    r"(?s)<(.*<)?xliff\s[^>]*version=.2": Kind("an XLIFF 2 file", "save it as XLIFF 1.2 or TMX"),
    r"(?s)<(.*<)?(\w+:)?xliff[\s>]": Kind("an XLIFF file", "set data.format=xliff", "xliff"),
    r"<\?xml": Kind("an XML file", "save its pairs as TMX"),
    r'(?s)(.*\n)?msgid "': Kind("a PO file", "set data.format=po", "po"),
}


def kind_of(path: Path, head: bytes) -> Kind | None:
    """Return the kind of a file, or None if it may be text, such as one sentence per line or a table.

    Args:
        path: the file.
        head: the first `N_HEAD_BYTES` bytes of its unpacked content, or all of it if it is shorter.
    """
    head = head[:N_HEAD_BYTES]
    is_utf_16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if is_utf_16 else "utf-8", "replace").lstrip("\ufeff \t\r\n")
    for beginning, kind in _BY_BEGINNING.items():
        if re.match(beginning, text):
            return kind
    for magic, kind in _BY_MAGIC:
        if head.startswith(magic):
            return _kind_of_zip(path) if kind is ZIP else kind
    if head[257:262] == b"ustar":
        return Kind("a tar archive", _UNPACK)
    # UTF-16 without a byte order mark: where most characters are Latin letters, every second byte is zero.
    n_zeros = [head[start::2].count(0) for start in (0, 1)]
    if len(head) >= 16 and min(n_zeros) == 0 and max(n_zeros) > len(head) / 4:
        return _text_in("utf-16-be" if n_zeros[0] else "utf-16-le")
    return None


def not_of_format(path: Path, head: bytes, file_format: str, encoding: str) -> str | None:
    """Return a message that says what a file is and what to do with it, or None if it may be as expected.

    Args:
        path: the file.
        head: see `kind_of`.
        file_format: the expected format, as in `data.format`.
        encoding: the expected encoding.
    """
    kind, codec = kind_of(path, head), codecs.lookup(encoding).name
    if kind is None or kind.reader in (file_format, codec, codec[: len("utf-16")]):
        return None
    expected = f"text in {codec.upper()}" if file_format == "text" else file_format
    return f"is {kind.name}, not {expected}; {kind.advice}"


def _kind_of_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except ZIP_ERRORS:
        # `path` is a damaged archive itself, or an archive or a packed file with another one in it.
        if path.is_file():
            with path.open("rb") as file:
                if file.read(2) == b"PK":
                    return ZIP
        return Kind("an archive or a workbook inside another file", _UNPACK)
    return next((kind for name, kind in _IN_ZIP.items() if name in names), ZIP)
