"""Recognises files that were given as text files but are of another kind, mostly by their first bytes."""

import zipfile
from pathlib import Path

#: Number of bytes at the start of a file that are needed to recognise what kind of file it is.
N_HEAD_BYTES = 512

_UNPACK = "unpack it, and name a file in it"
_AS_TEXT = "save its text as UTF-8, and name that file"

#: The recognised kinds of files: the first bytes of such a file, what it is, and advice to the user.
_BY_MAGIC = (
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", "fetch it again"),
    *((b"BZh%d1AY&SY" % level, "packed with bzip2", "unpack it with bunzip2") for level in range(1, 10)),
    (b"\xfd7zXZ\0", "packed with xz", "unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard", "unpack it with unzstd"),
    (b"\x04\x22\x4d\x18", "packed with LZ4", "unpack it with unlz4"),
    (b"\x1f\x9d", "packed with compress", "unpack it with gunzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"%PDF-", "a PDF document", _AS_TEXT),
    (b"{\\rtf", "a Rich Text document", _AS_TEXT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an old version of Word or Excel", _AS_TEXT),
    (b"PAR1", "a Parquet file", "set data.format=parquet"),
    (b"ARROW1", "an Arrow file", "save it as Parquet and set data.format=parquet"),
    (b"SQLite format 3\0", "an SQLite database", "write its table into a TSV file"),
    (b"\xff\xfe\0\0", "text in UTF-32", "convert it to UTF-8"),
    (b"\0\0\xfe\xff", "text in UTF-32", "convert it to UTF-8"),
    (b"\xff\xfe", "text in UTF-16", "convert it to UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "convert it to UTF-8"),
)

#: Maps file names to kinds of documents. A zip archive with a file of such a name is a document of this kind.
_IN_ZIP = {
    "word/document.xml": "a Word document",
    "xl/workbook.xml": "an Excel workbook",
    "ppt/presentation.xml": "a PowerPoint presentation",
    "content.xml": "an OpenDocument file",
}


def not_text(path: Path, head: bytes) -> str | None:
    """Return a message that says what a file is and what to do with it, or None if the file may be text.

    Args:
        path: the file.
        head: the first `N_HEAD_BYTES` bytes of the file, or the whole file if it is shorter. If the file is
            gzipped, these are bytes of the decompressed content.
    """
    for magic, kind, advice in _BY_MAGIC:
        if head.startswith(magic):
            if kind == "a zip archive":
                kind, advice = _kind_of_zip(path)
            return f"is {kind}, not text in UTF-8; {advice}"
    if head[257:262] == b"ustar":
        return f"is a tar archive, not text in UTF-8; {_UNPACK}"
    if len(head) >= 16 and any(_every_second_is_zero(head, start) for start in (0, 1)):
        return "is text in UTF-16, not in UTF-8; convert it to UTF-8"
    return None


def _kind_of_zip(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):  # the file is a pipe or a damaged archive
        names = set()
    documents = [kind for name, kind in _IN_ZIP.items() if name in names]
    return (documents[0], _AS_TEXT) if documents else ("a zip archive", _UNPACK)


def _every_second_is_zero(head: bytes, start: int) -> bool:
    """Return whether every second byte, from index `start`, is zero and no other byte is zero.

    UTF-16 text in Latin letters consists of such bytes.
    """
    return not any(head[start::2]) and all(head[1 - start :: 2])
