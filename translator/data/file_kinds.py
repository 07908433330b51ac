"""Recognises what kind of file a file is, mostly by its first bytes, and which `data.format` reads it."""

import codecs
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

#: Number of bytes at the start of a file that are needed to recognise what kind of file it is.
N_HEAD_BYTES = 2048

_UNPACK = "unpack it, and name a file in it"
_NAME_MEMBER = "name a file in it, as in NAME.zip/FILE"
_AS_TEXT = "save its text as UTF-8, and name that file"


class Kind(NamedTuple):
    """A kind of file: what it is called, advice to a user who gave it as another, and its formats, if any."""

    name: str
    advice: str
    formats: tuple[str, ...] = ()


def _of_format(name: str, file_format: str) -> Kind:
    return Kind(name, f"set data.format={file_format}", (file_format,))


_XLSX = _of_format("an Excel workbook", "xlsx")
_TMX = _of_format("a TMX file", "tmx")
_XLIFF = _of_format("an XLIFF file", "xliff")
_PO = _of_format("a PO file", "po")
_OTHER_XML = Kind("an XML file", "save its pairs as TMX", ("tmx", "xliff"))
_UTF_16, _UTF_32 = (
    Kind(f"text in {name.upper()}", f"convert it to UTF-8, or for a corpus set data.encoding={name}")
    for name in ("utf-16", "utf-32")
)
_ZIP = Kind("a zip archive", _NAME_MEMBER)
_EXPECTED = {kind.formats[0]: kind.name for kind in (_XLSX, _TMX, _XLIFF, _PO)}

#: The first bytes of kinds of files.
_BY_MAGIC = (
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", Kind("an empty zip archive", "fetch it again")),
    *(
        (b"BZh%d1AY&SY" % level, Kind("packed with bzip2", "unpack it with bunzip2"))
        for level in range(1, 10)
    ),
    (b"\x1f\x8b", Kind("packed with gzip twice", "unpack it with gunzip")),
    (b"\xfd7zXZ\0", Kind("packed with xz twice", "unpack it with unxz")),
    (b"\x28\xb5\x2f\xfd", Kind("packed with Zstandard twice", "unpack it with unzstd")),
    (b"\x04\x22\x4d\x18", Kind("packed with LZ4", "unpack it with unlz4")),
    (b"\x1f\x9d", Kind("packed with compress", "unpack it with gunzip")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive", _UNPACK)),
    (b"Rar!\x1a\x07", Kind("a RAR archive", _UNPACK)),
    (b"%PDF-", Kind("a PDF document", _AS_TEXT)),
    (b"{\\rtf", Kind("a Rich Text document", _AS_TEXT)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("a document of an old version of Word or Excel", _AS_TEXT)),
    (b"PAR1", _of_format("a Parquet file", "parquet")),
    (b"ARROW1", Kind("an Arrow file", "save it as Parquet and set data.format=parquet")),
    (b"SQLite format 3\0", Kind("an SQLite database", "write its table into a TSV file")),
    (b"\xff\xfe\0\0", _UTF_32),
    (b"\0\0\xfe\xff", _UTF_32),
    (b"\xff\xfe", _UTF_16),
    (b"\xfe\xff", _UTF_16),
)

#: Maps file names to kinds of documents. A zip archive with a file of such a name is a document of this kind.
_IN_ZIP = {
    "word/document.xml": Kind("a Word document", _AS_TEXT),
    "xl/workbook.xml": _XLSX,
    "ppt/presentation.xml": Kind("a PowerPoint presentation", _AS_TEXT),
    "content.xml": Kind("an OpenDocument file", _AS_TEXT),
}

#: What `zipfile` raises for archives that are damaged, encrypted or packed in other ways.
ZIP_ERRORS = (OSError, ValueError, LookupError, RuntimeError, zipfile.BadZipFile)

_XML_ROOT = re.compile(r"<(?:!DOCTYPE\s+)?(?:\w+:)?(tmx|xliff)[\s>]")
_PO_ENTRY = re.compile(r'^msgid "', re.MULTILINE)


def kind_of(path: Path, head: bytes) -> Kind | None:
    """Return the kind of a file, or None if it may be text, such as one sentence per line or a table.

    Args:
        path: the file.
        head: the first `N_HEAD_BYTES` bytes of its unpacked content, or all of it if it is shorter.
    """
    is_utf_16 = head[:2] in (b"\xff\xfe", b"\xfe\xff") and head[2:4] != b"\0\0"
    text = head.decode("utf-16" if is_utf_16 else "utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("<") and (match := _XML_ROOT.search(text)):
        return _TMX if match[1] == "tmx" else _XLIFF
    if text.startswith("<?xml"):
        return _OTHER_XML
    if _PO_ENTRY.search(text):
        return _PO
    for magic, kind in _BY_MAGIC:
        if head.startswith(magic):
            return _kind_of_zip(path) if kind is _ZIP else kind
    if head[257:262] == b"ustar":
        return Kind("a tar archive", _UNPACK)
    if len(head) >= 16 and any(_every_second_is_zero(head, start) for start in (0, 1)):
        return _UTF_16
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
    expected = _EXPECTED.get(file_format, f"text in {codec.upper()}")
    if kind is None:
        needs_a_kind = file_format in ("tmx", "xliff", "xlsx")
        return f"is not {expected}; `translator import FILE` says what it is" if needs_a_kind else None
    if file_format in kind.formats or _is_encoded_in(kind, codec):
        return None
    return f"is {kind.name}, not {expected}; {kind.advice}"


def _is_encoded_in(kind: Kind, codec: str) -> bool:
    return (kind is _UTF_16 and codec.startswith("utf-16")) or (
        kind is _UTF_32 and codec.startswith("utf-32")
    )


def _kind_of_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except ZIP_ERRORS:  # the file is a pipe or a damaged archive
        names = set()
    return next((kind for name, kind in _IN_ZIP.items() if name in names), _ZIP)


def _every_second_is_zero(head: bytes, start: int) -> bool:
    """Return whether every second byte, from index `start`, is zero and no other byte is zero.

    UTF-16 text in Latin letters consists of such bytes.
    """
    return not any(head[start::2]) and all(head[1 - start :: 2])
