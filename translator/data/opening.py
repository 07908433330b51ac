"""Opens a file of a corpus: plain, packed with gzip, xz or Zstandard, or inside a zip archive.

A file in an archive is named as if the archive were a folder: `OPUS.zip/Books.en-fr.fr`. It is read in place
and never written to disk. A file that unpacks to more than `unpacked_limit` is refused.
"""

import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from translator.data.file_kinds import N_HEAD_BYTES, ZIP_ERRORS, not_of_format
from translator.errors import DataError

#: A packed file may unpack to this many bytes or to this many times its own size, whichever is more.
MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO = 200_000_000, 100

#: First bytes of the packed files that can be read, and the name of each kind.
_PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "Zstandard"}

_CHUNK_BYTES = 1 << 16

# Bytes that cannot be decoded become U+DCFF, which is encoded as 0xFF and thus makes the line invalid UTF-8.
codecs.register_error("mark", lambda error: ("\udcff", cast(UnicodeDecodeError, error).end))


class UnpackError(DataError):
    """Raised if a packed file is damaged or too large. `problem` is the message without the file's name."""

    def __init__(self, path: Path, problem: str):
        super().__init__(f"{path}: {problem}")
        self.problem = problem


class _ChunkReader(io.RawIOBase):
    """A stream of the bytes of an iterator."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks, self._rest = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(next((chunk for chunk in self._chunks if chunk), b""))
        n = min(len(buffer), len(self._rest))
        buffer[:n], self._rest = self._rest[:n], self._rest[n:]
        return n


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
    try:
        with ExitStack() as stack:
            inside = zip_member(path)
            if inside is not None:
                file = _open_member(stack, path, *inside)
            else:
                file = stack.enter_context(path.open("rb"))
            head = file.peek(N_HEAD_BYTES)
            kind = next((kind for magic, kind in _PACKED.items() if head.startswith(magic)), None)
            if kind is not None:
                n_bytes = path.stat().st_size if path.is_file() else None
                file = _buffered(_checked(_unpacked(file, kind), path, kind=kind, packed_bytes=n_bytes))
            head = file.peek(N_HEAD_BYTES)[:N_HEAD_BYTES]
            if file_format is not None and (problem := not_of_format(path, head, file_format, encoding)):
                raise DataError(f"{path} {problem}")
            yield file
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; name a file in it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check data.root and data.files") from None


def to_utf8(file: io.BufferedReader, encoding: str) -> BinaryIO:
    """Return a stream with the text of a file in UTF-8. Each run of invalid bytes becomes 0xFF."""
    if codecs.lookup(encoding).name == "utf-16" and file.peek(2)[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16-be" if file.peek(1).startswith(b"\0") else "utf-16-le"

    def chunks() -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(encoding)("mark")
        for chunk in iter(partial(file.read, _CHUNK_BYTES), b""):
            yield decoder.decode(chunk).encode("utf-8", "surrogateescape")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")

    return _buffered(chunks())


def zip_member(path: Path) -> tuple[Path, str] | None:
    """Return the archive in which a file lies and the file's name in it, or None if it is in no archive."""
    archive = next((parent for parent in path.parents if parent.is_file()), None)
    if archive is None or not zipfile.is_zipfile(archive):
        return None
    return archive, path.relative_to(archive).as_posix()


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
        if name.startswith("/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
            raise DataError(
                f"{archive} has a file {name!r}, which leaves the archive's folder; it is not read"
            )
    return names


def _open_member(stack: ExitStack, path: Path, archive: Path, name: str) -> io.BufferedReader:
    names = zip_names(archive)
    if name not in names:
        raise DataError(f"{archive} has no file {name!r}; it has {', '.join(names[:20])}")
    opened = stack.enter_context(zipfile.ZipFile(archive))
    try:
        file = cast(zipfile.ZipExtFile, stack.enter_context(opened.open(name)))
    except ZIP_ERRORS as error:
        raise DataError(f"{path}: cannot be unpacked: {error}") from None
    chunks = iter(partial(file.read1, _CHUNK_BYTES), b"")
    return _buffered(_checked(chunks, path, kind="zip", packed_bytes=opened.getinfo(name).compress_size))


def _buffered(chunks: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_ChunkReader(chunks), _CHUNK_BYTES)


def _unpacked(file: BinaryIO, kind: str) -> Iterator[bytes]:
    if kind == "Zstandard":
        return _zstandard_chunks(file)
    unpacked = gzip.GzipFile(fileobj=file) if kind == "gzip" else lzma.LZMAFile(file)  # noqa: SIM115
    return iter(partial(unpacked.read1, _CHUNK_BYTES), b"")


def _zstandard_chunks(file: BinaryIO) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise DataError("Zstandard files need zstandard: pip install 'passerelle[import]'") from None
    decoder, data = None, b""
    try:
        # With so few bytes at once, at most 32 MiB are unpacked at once.
        while data or (data := file.read(1024)):
            if decoder is None or decoder.eof:
                decoder = zstandard.ZstdDecompressor().decompressobj()
            yield decoder.decompress(data)
            data = decoder.unused_data
    except zstandard.ZstdError as error:
        raise EOFError(error) from None
    if decoder is not None and not decoder.eof:
        raise EOFError("it ends too early")


def _checked(chunks: Iterator[bytes], path: Path, *, kind: str, packed_bytes: int | None) -> Iterator[bytes]:
    """Yield the chunks of an unpacked file. Raise an `UnpackError` if it is damaged or too large."""
    n_bytes = 0
    try:
        for chunk in chunks:
            n_bytes += len(chunk)
            if packed_bytes is not None and n_bytes > (limit := unpacked_limit(packed_bytes)):
                problem = f"unpacks to more than {limit:,} bytes, far more than text; unpack it yourself"
                raise UnpackError(path, problem)
            yield chunk
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile, EOFError) as error:
        raise UnpackError(path, f"damaged {kind} file: {error}; fetch it again") from None
