"""Atomic writing of files and folders, checksums, and locks.

A file or folder is written under a temporary name, flushed to disk and renamed, so that a killed process or a
power cut never leaves a partial file or folder under its final name. Temporary files and folders are locked
while they are being written. A temporary file or folder without a lock was left by a killed process and can
be removed.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from translator import console

try:
    import fcntl
except ImportError:  # not POSIX: there are no locks, so temporary files of killed processes are never removed
    fcntl = None  # type: ignore[assignment]

#: The values of `errno` after locking has failed because another process holds the lock. The second one comes
#: from some network file systems.
HELD = (errno.EWOULDBLOCK, errno.EACCES)

#: A folder that contains a file of this name is called a sealed folder. The file contains a JSON object that
#: maps the name of each other file in the folder to its SHA-256.
CHECKSUMS = "sha256.json"

_PARTIAL = "partial-"
_RANDOM = "[a-z0-9_]{8}"  # the end of temporary names; older versions took them from `tempfile`
#: Names of the files and folders that this or an older version of the program creates in a partial folder. A
#: partial folder that contains any other name is not removed.
_IN_PARTIAL = re.compile(r"whole|replaced|source|tmp.*|.*\.(arrow|lock|pt)|tokenizer\.model|report\.json")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def atomic_write(path: Path, content: bytes | memoryview, *, backup: Path | None = None) -> None:
    """Write a file atomically, so that even a power cut does not leave a partially written file at `path`.

    Args:
        path: the file to create or replace.
        content: the bytes to write.
        backup: path to which the replaced file is moved once the new content is on disk. If None, the
            replaced file is lost.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

    def create(name: str) -> int:
        return os.open(name, flags, 0o666)  # with the permissions of any new file, unlike `tempfile`

    with _locked(path.parent / f".{path.name}-", create) as (handle, partial):
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(handle)
        if backup is not None and path.is_file():
            _replace_with_link(backup, path)
        os.replace(partial, path)
    _flush(path.parent)


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """Create a locked temporary folder. At the end of the block, remove it with everything left in it."""

    def create(name: str) -> int:
        os.mkdir(name, 0o700)
        return os.open(name, os.O_RDONLY)

    with _locked(parent / _PARTIAL, create) as (_, name):
        yield Path(name)


def flush_and_rename(partial: Path, path: Path) -> None:
    """Flush the finished folder `partial` and all its contents to disk, then rename it to `path`."""
    for inside in (*partial.rglob("*"), partial):
        _flush(inside)
    partial.rename(path)
    _flush(path.parent)


def is_sealed(folder: Path, names: Collection[str]) -> bool:
    """Return whether a folder contains all files in `names`, with the checksums recorded in `CHECKSUMS`."""
    try:
        checksums = json.loads((folder / CHECKSUMS).read_bytes())
        return all(checksums[name] == sha256(folder / name) for name in names)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def ensure_sealed(folder: Path, names: Collection[str], write: Callable[[Path], None]) -> None:
    """Create a sealed folder (a folder with a file of checksums), unless it already exists.

    If the folder exists but is damaged, print a note and replace the folder.

    Args:
        folder: the folder to create. It appears only once it is complete.
        names: the names of the files in the folder, except `CHECKSUMS`.
        write: function that is called with an empty folder and writes the files into it.
    """
    if is_sealed(folder, names):
        return
    if folder.exists():
        console.note(f"{folder}: damaged, or written by a version without checksums; it is created again")
    with partial_folder(folder.parent) as partial:
        new = partial / "whole"
        new.mkdir()
        write(new)
        checksums = {name: sha256(new / name) for name in names}
        (new / CHECKSUMS).write_text(json.dumps(checksums, indent=2) + "\n")
        if folder.exists() and not is_sealed(folder, names):
            folder.rename(partial / "replaced")
        try:
            flush_and_rename(new, folder)
        except OSError:
            if not is_sealed(folder, names):  # otherwise, another process has since created the folder
                raise


def remove_partial_files(folder: Path, names: Collection[str]) -> None:
    """Remove from a folder the temporary files of `atomic_write` that killed processes left there.

    Temporary files that a process is still writing are locked and are left in place.

    Args:
        folder: the folder to clean up.
        names: the final names of the files that were being written.
    """
    pattern = re.compile(rf"\.({'|'.join(map(re.escape, names))})-{_RANDOM}")
    _remove_unlocked(folder, lambda path: bool(pattern.fullmatch(path.name)) and path.is_file())


def remove_partial_folders(parent: Path) -> None:
    """Remove from `parent` the temporary folders of `partial_folder` that killed processes left there.

    Folders that are locked or contain a name that is not in `_IN_PARTIAL` are left in place.
    """
    pattern = re.compile(_PARTIAL + _RANDOM)
    _remove_unlocked(
        parent,
        lambda path: (
            bool(pattern.fullmatch(path.name))
            and path.is_dir()
            and all(_IN_PARTIAL.fullmatch(name) for name in os.listdir(path))
        ),
    )


def _remove_unlocked(folder: Path, is_temporary: Callable[[Path], bool]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            if path.is_symlink() or not is_temporary(path):
                continue
            handle = os.open(path, os.O_RDONLY)
        except OSError:  # removed by another process, or not readable
            continue
        try:
            if lock_error(handle) is None:  # otherwise, it is being written, or locks are not supported
                _remove(path)
        finally:
            os.close(handle)


@contextmanager
def _locked(prefix: Path, create: Callable[[str], int]) -> Iterator[tuple[int, str]]:
    """Create a temporary file or folder and lock it. At the end of the block, remove it if it is still there.

    The name is chosen before anything is created: a signal may raise an exception at any point until the end
    of the block, and what it interrupts is removed. If another process removes the file or folder before it
    is locked, create another.

    Args:
        prefix: the path to create, without the random end of its name.
        create: function that creates a file or folder of a given name and returns its descriptor.

    Yields:
        The descriptor and the path. The lock is held until the end of the block.
    """
    handle, path = None, ""
    try:
        while handle is None:
            path = f"{prefix}{secrets.token_hex(4)}"
            try:
                handle = create(path)
            except FileExistsError:  # it belongs to another process
                path = ""
                continue
            error = lock_error(handle)
            # Any error not in HELD means that locks are not supported, so no process removes it.
            if error.errno in HELD if error else not os.path.lexists(path):
                closing, handle = handle, None  # so that nothing closes it twice
                os.close(closing)
        yield handle, path
    finally:
        _remove(path)
        if handle is not None:
            os.close(handle)


def _remove(path: str | Path) -> None:
    """Remove a file or folder, if it is there and can be removed."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            os.unlink(path)


def lock_error(handle: int) -> OSError | None:
    """Lock an open file or folder without waiting. Return the error if locking fails, else None.

    If another process holds the lock, the `errno` of the error is in `HELD`. If locks are not supported,
    `errno` has another value.
    """
    if fcntl is None:
        return OSError(errno.ENOSYS, "this system has none")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error
    return None


def _replace_with_link(path: Path, target: Path) -> None:
    """Atomically replace `path` with a hard link to `target`, so that `target` never disappears.

    On a file system without hard links, rename `target` to `path` instead.
    """
    link = path.with_name(f".{path.name}")
    link.unlink(missing_ok=True)
    try:
        os.link(target, link)
    except OSError:  # the file system has no hard links
        os.replace(target, path)
        return
    os.replace(link, path)
    # If `link` and `path` already were the same file, os.replace has done nothing, and `link` still exists.
    link.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
