"""Files that a verb writes because an option names them."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from translator.errors import PasserelleError, UsageError


def check_output(option: str, path: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Refuse, before a model is loaded, what cannot be written.

    Args:
        option: that names the file.
        path: of the file.
        inputs: files that are read.

    Raises:
        PasserelleError: it has no folder, or is one.
        UsageError: it is one of the inputs.
    """
    if path.is_dir():
        raise PasserelleError(f"{option} {path}: this is a folder; name a file")
    target = _target(path)
    if target.is_symlink():
        raise PasserelleError(f"{option} {path}: this link leads in a circle; name another file")
    folder = target.parent if path.is_symlink() else path.parent
    if not path.exists() and not folder.is_dir():
        raise PasserelleError(f"{option} {path}: there is no folder {folder}; make it first")
    if replaces(path) and any(read.exists() and path.samefile(read) for read in inputs):
        raise UsageError(f"{option} {path}: this file is read; name another one")


def replaces(path: Path) -> bool:
    """Whether writing would take the place of a file that is there: not of a device, a pipe, an open file."""
    return path.is_file() and _open_file(path) is None


def write_output(option: str, path: Path, content: bytes) -> None:
    """Write a file: whole or not at all, at the end of a link; into what is no regular file, or open already.

    What was printed before comes first, should both go to one place.

    Raises:
        PasserelleError: it cannot be written; the message names option and path.
        BrokenPipeError: whoever read from it has gone.
    """
    sys.stdout.flush()
    try:
        number = _open_file(path)
        if number is not None:
            with os.fdopen(os.dup(number), "wb") as file:
                file.write(content)
        elif path.exists() and not path.is_file():
            with path.open("wb") as file:
                file.write(content)
        else:
            from translator.files import atomic_write

            atomic_write(_target(path), content)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PasserelleError(
            f"{option} {path}: cannot be written: {error.strerror}; name another file"
        ) from None


def _target(path: Path) -> Path:
    """What links lead to, whether it is there or not."""
    return Path(os.path.realpath(path))


def _open_file(path: Path) -> int | None:
    """The number of the open file that a name such as /dev/stdout or /dev/fd/3 leads to.

    Opened by that name, a file on disk would be written from its beginning again.
    """
    for _ in range(40):  # links, as many as Linux follows
        if path.name.isdecimal() and path.parent.resolve() == Path("/dev/fd").resolve():
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None
