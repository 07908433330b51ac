"""Output files whose paths are given by options.

The paths are checked before a command starts its work, and the files are written when the work is done.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from translator.errors import PasserelleError, UsageError


def check_output(option: str, path: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Check that an output file can be written. Commands call this before they load a model.

    Args:
        option: name of the option, for messages.
        path: the file to write.
        inputs: the files that the command reads.

    Raises:
        PasserelleError: the path is a folder or a link that points back to itself, or its parent folder does
            not exist.
        UsageError: the output file is also one of the inputs.
    """
    if path.is_dir():
        raise PasserelleError(f"{option} {path}: this is a folder; name a file")
    target = _target(path)
    if target.is_symlink():
        raise PasserelleError(f"{option} {path}: this link points back to itself; name another file")
    folder = target.parent if path.is_symlink() else path.parent
    if not path.exists() and not folder.is_dir():
        raise PasserelleError(f"{option} {path}: there is no folder {folder}; create it first")
    if replaces(path) and any(read.exists() and path.samefile(read) for read in inputs):
        raise UsageError(f"{option} {path}: this is an input file; name another one")


def check_new_output(option: str, path: Path) -> None:
    """Check that an output file can be written, and that nothing is there yet.

    Raises:
        UsageError: the path exists.
        PasserelleError: the parent folder does not exist.
    """
    if path.exists() or path.is_symlink():
        raise UsageError(f"{option} {path}: it exists already; name a new file")
    check_output(option, path)


def replaces(path: Path) -> bool:
    """Return whether writing to the path would replace a regular file.

    Devices and pipes are never replaced. A path such as /dev/stdout stands for a file that this process
    already has open; that file is not replaced either.
    """
    return path.is_file() and _open_file(path) is None


def write_output(option: str, path: Path, content: bytes) -> None:
    """Write an output file.

    A regular file is replaced atomically; if the path is a symbolic link, the file that it points to is
    replaced. Devices, pipes and files that this process already has open, such as /dev/stdout, are written to
    directly. Stdout is flushed first, so that everything printed so far precedes the content.

    Raises:
        PasserelleError: the file cannot be written; the message names the option and the path.
        BrokenPipeError: the reader closed the pipe.
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
    """Return the path with all symbolic links resolved, even if the last link points to a missing file."""
    return Path(os.path.realpath(path))


def _open_file(path: Path) -> int | None:
    """Return the file descriptor that a path such as /dev/stdout or /dev/fd/3 stands for, or None for others.

    Callers must write to the descriptor and not open the path: if the descriptor is redirected to a file,
    opening the path would overwrite that file from its start.
    """
    for _ in range(40):  # Linux follows at most 40 links
        if path.name.isdecimal() and path.parent.resolve() == Path("/dev/fd").resolve():
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None
