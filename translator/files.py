"""Files and folders that are whole or not there, whatever is killed, and that are checked when they are read.

They are written beside their place, flushed to the disk and renamed. What is being written is locked, so that
what a killed process left can be told from what another one is writing, and taken away.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from translator import console

try:
    import fcntl
except ImportError:  # no POSIX: no locks, and nothing that was left behind is taken away
    fcntl = None  # type: ignore[assignment]

#: Numbers of the errors that say that another process has a lock; the second comes from some network disks.
HELD = (errno.EWOULDBLOCK, errno.EACCES)

#: The SHA-256 of each file of a sealed folder.
CHECKSUMS = "sha256.json"

_PARTIAL = "partial-"
_RANDOM = "[a-z0-9_]{8}"  # what `tempfile` adds to a name
#: Files at the top of a partial folder; one that has others is not ours. Some are of older versions.
_IN_PARTIAL = re.compile(r"whole|replaced|source|tmp.*|.*\.(arrow|lock|pt)|tokenizer\.model|report\.json")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def atomic_write(path: Path, content: bytes | memoryview, *, keep: Path | None = None) -> None:
    """Write a file so that it is never seen half-written, not even after a power cut.

    Args:
        path: of the file.
        content: of the file.
        keep: a path for the file that was there before, once the new one is on the disk.
    """
    handle, partial = _locked(lambda: tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent))
    with os.fdopen(handle, "wb") as file:  # open, and locked, until it has its name
        try:
            file.write(content)
            file.flush()
            os.fsync(handle)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(partial, 0o666 & ~umask)
            if keep is not None and path.is_file():
                _give_second_name(path, keep)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
    _flush(path.parent)


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """Give a folder to write in; it goes at the end, with what is still in it."""

    def make() -> tuple[int, str]:
        name = tempfile.mkdtemp(prefix=_PARTIAL, dir=parent)
        return os.open(name, os.O_RDONLY), name

    handle, name = _locked(make)
    try:
        yield Path(name)
    finally:
        shutil.rmtree(name, ignore_errors=True)
        os.close(handle)


def rename_whole(partial: Path, path: Path) -> None:
    """Give a finished folder its name; all that is in it is on the disk before, the name after."""
    for inside in (*partial.rglob("*"), partial):
        _flush(inside)
    partial.rename(path)
    _flush(path.parent)


def is_sealed(folder: Path, names: Collection[str]) -> bool:
    """Whether a folder has files of these names, and each is as it was written."""
    try:
        checksums = json.loads((folder / CHECKSUMS).read_bytes())
        return all(checksums[name] == sha256(folder / name) for name in names)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def find_sealed(folder: Path, names: Collection[str], write: Callable[[Path], None]) -> None:
    """Have a sealed folder written, unless it is there; one that is damaged is written anew, with a note.

    Args:
        folder: where it is to be; it appears when it is whole, with the checksums of its files.
        names: of its files.
        write: writes them into the folder that it is given.
    """
    if is_sealed(folder, names):
        return
    if folder.exists():
        console.note(f"{folder}: damaged, or from before there were checksums; it is made anew")
    with partial_folder(folder.parent) as beside:
        whole = beside / "whole"
        whole.mkdir()
        write(whole)
        checksums = {name: sha256(whole / name) for name in names}
        (whole / CHECKSUMS).write_text(json.dumps(checksums, indent=2) + "\n")
        if folder.exists() and not is_sealed(folder, names):
            folder.rename(beside / "replaced")
        try:
            rename_whole(whole, folder)
        except OSError:
            if not is_sealed(folder, names):  # else another process was first
                raise


def remove_partial_files(folder: Path, names: Collection[str]) -> None:
    """Remove what killed processes left of `atomic_write` for files of these names in a folder.

    What a process is still writing is locked, and stays.
    """
    pattern = re.compile(rf"\.({'|'.join(map(re.escape, names))})-{_RANDOM}")
    _remove_unlocked(folder, lambda path: bool(pattern.fullmatch(path.name)) and path.is_file())


def remove_partial_folders(parent: Path) -> None:
    """Remove what killed processes left of `partial_folder`; what one is still writing in stays."""
    pattern = re.compile(_PARTIAL + _RANDOM)
    _remove_unlocked(
        parent,
        lambda path: (
            bool(pattern.fullmatch(path.name))
            and path.is_dir()
            and all(_IN_PARTIAL.fullmatch(name) for name in os.listdir(path))
        ),
    )


def _remove_unlocked(folder: Path, is_left_behind: Callable[[Path], bool]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            if path.is_symlink() or not is_left_behind(path):
                continue
            handle = os.open(path, os.O_RDONLY)
        except OSError:  # another process took it away, or it is not ours to read
            continue
        try:
            if lock_error(handle) is None:  # else somebody writes it, or there are no locks here
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        except OSError:  # we may not remove it
            pass
        finally:
            os.close(handle)


def _locked(make: Callable[[], tuple[int, str]]) -> tuple[int, str]:
    """What `make` made, a descriptor and a path, locked; made again where it was cleared away before that."""
    while True:
        handle, path = make()
        error = lock_error(handle)
        if error is not None and error.errno not in HELD:
            return handle, path  # no locks on this file system; there nothing is cleared away either
        if error is None and os.path.lexists(path):
            return handle, path
        os.close(handle)


def lock_error(handle: int) -> OSError | None:
    """Lock an open file or folder for this process, without waiting; return why that cannot be, or None.

    Its `errno` is one of `HELD` where another process has the lock, and another one where there are no locks.
    """
    if fcntl is None:
        return OSError(errno.ENOSYS, "this system has none")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error
    return None


def _give_second_name(path: Path, second: Path) -> None:
    """Let a file have two names, in place of what had the second; it has its first name all the time."""
    beside = second.with_name(f".{second.name}")
    beside.unlink(missing_ok=True)
    try:
        os.link(path, beside)
    except OSError:  # a file system without hard links
        os.replace(path, second)
        return
    os.replace(beside, second)
    beside.unlink(missing_ok=True)  # where both were this file already, replacing does nothing


def _flush(path: Path) -> None:
    """Have the disk keep a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
