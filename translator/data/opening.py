"""Opens a file of a corpus: plain, packed with gzip, xz or Zstandard, or inside a zip archive.

A file in an archive is named as if the archive were a folder: `OPUS.zip/Books.en-fr.fr`. It is read in place
and never written to disk. A file that unpacks to more than `unpacked_limit` is refused.
"""

import gzip
import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO

from translator.data.file_kinds import N_HEAD_BYTES, ZIP_ERRORS, not_of_format
from translator.errors import DataError

#: A packed file may unpack to this many bytes or to this many times its own size, whichever is more.
MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO = 200_000_000, 100

#: First bytes of the packed files that can be read, and the name of each kind.
_PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "Zstandard"}

_BUFFER_BYTES = 1 << 16

#: What is raised for files that cannot be read, damaged, encrypted or packed in other ways.
_ERRORS = (OSError, RuntimeError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


class UnpackError(DataError):
    """Raised if a packed file is damaged or too large. The message starts with the name of the file."""


class _Limited(io.RawIOBase):
    """The content of an unpacked file. Reading raises an `UnpackError` if it is longer than `limit` bytes."""

    def __init__(self, file: Any, path: Path, limit: float):
        self._file, self._path, self._limit, self._n_read = file, path, limit, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._file.read1(len(buffer))
        self._n_read += len(chunk)
        if self._n_read > self._limit:
            problem = f"unpacks to more than {self._limit:,} bytes, far more than text; unpack it yourself"
            raise UnpackError(f"{self._path}: {problem}")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def unpacked_limit(packed_bytes: int) -> int:
    """Return how many bytes a file of `packed_bytes` bytes may unpack to."""
    return max(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * packed_bytes)


@contextmanager
def open_binary(
    path: Path, *, file_format: str | None = "text", encoding: str = "utf-8"
) -> Iterator[io.BufferedReader]:
    """Open a file, which may be a pipe, packed, or inside a zip archive. Yield its unpacked content.

    Args:
        path: the file.
        file_format: the expected format, as in `data.format`; None: any.
        encoding: the expected encoding, for formats that are text.

    Raises:
        DataError: the file cannot be read, or is of another kind. In the second case, the message says of
            which, such as an archive or a document.
        UnpackError: while the content is read, the file proves to be damaged or too large.
    """
    outer, member = zip_member(path) or (path, "")
    if member and member not in (names := zip_names(outer)):
        raise DataError(f"{outer} has no file {member!r}; it has {', '.join(names[:20])}")
    packing = ""
    try:
        with outer.open("rb") as file:
            limit = unpacked_limit(outer.stat().st_size) if outer.is_file() else math.inf
            inner = "zip" if member else _packing(file)
            while inner:
                packing = inner
                unpacked = _unpacked(file, packing, member)
                file = io.BufferedReader(_Limited(unpacked, path, limit), _BUFFER_BYTES)
                inner = _packing(file)
            head = file.peek(N_HEAD_BYTES)
            if file_format is not None and (problem := not_of_format(path, head, file_format, encoding)):
                raise DataError(f"{path} {problem}")
            yield file
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; name a file in it") from None
    except _ERRORS as error:
        if isinstance(error, OSError) and error.strerror:
            problem = f"{error.strerror}; check data.root and data.files"
            raise DataError(f"{path}: cannot be read: {problem}") from None
        if not packing:
            raise
        raise UnpackError(f"{path}: damaged {packing} file: {error}; fetch it again") from None


def zip_member(path: Path) -> tuple[Path, str] | None:
    """Return the archive in which a file lies and the file's name in it, or None if it is in no archive."""
    archive = next((parent for parent in path.parents if parent.is_file()), None)
    is_zip = archive is not None and zipfile.is_zipfile(archive)
    return (archive, path.relative_to(archive).as_posix()) if archive and is_zip else None


def zip_names(archive: Path) -> list[str]:
    """Return the names of the files in a zip archive.

    Raises:
        DataError: the archive is damaged, or has a name that leaves the folder in which it is unpacked.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [info.filename for info in opened.infolist() if not info.is_dir()]
    except ZIP_ERRORS as error:
        raise DataError(f"{archive}: damaged zip archive: {error}; fetch it again") from None
    for name in names:
        windows = PureWindowsPath(name)  # knows both separators, and drives
        if windows.anchor or ".." in windows.parts:
            raise DataError(
                f"{archive} has a file {name!r}, whose name may lead out of the archive; rename it there"
            )
    return names


def _packing(file: io.BufferedReader) -> str:
    head = file.peek(N_HEAD_BYTES)
    return next((kind for magic, kind in _PACKED.items() if head.startswith(magic)), "")


def _unpacked(file: BinaryIO, packing: str, member: str) -> Any:
    """Return a stream of the content of a packed file, or of a member of a zip archive."""
    match packing:
        case "gzip":
            return gzip.GzipFile(fileobj=file)
        case "xz":
            return lzma.LZMAFile(file)
        case "Zstandard":
            import pyarrow  # here, because it takes a tenth of a second

            return pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd")
    return zipfile.ZipFile(file).open(member)
