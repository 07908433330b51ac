"""Messages, warnings and progress bars on stderr. Stdout carries only results."""

import errno
import os
import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

_console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

#: Columns of a progress line that its status does not get: the description, a bar of ten columns, the
#: percentage, the time, and spaces.
_BESIDE_STATUS = 10 + 10 + 4 + 7 + 4


def note(message: str) -> None:
    """Print one line on stderr. If stderr is a terminal that was closed, print nothing."""
    leave_closed_terminal()
    _console.print(message)


def note_on_terminal(message: str) -> None:
    """Print one line if stderr is a terminal, where somebody waits."""
    if _console.file.isatty():
        note(message)


def leave_closed_terminal() -> None:
    """If stdout or stderr is a terminal that was closed, redirect the stream to /dev/null.

    After that, writing to the stream does not raise an error.
    """
    for handle in (1, 2):
        try:
            os.get_terminal_size(handle)
        except OSError as error:
            if error.errno == errno.EIO:  # a file or a pipe causes another error
                os.dup2(os.open(os.devnull, os.O_WRONLY), handle)


def log(message: str) -> None:
    """Print one line on stderr. A line that cannot be written is dropped."""
    try:
        print(message, file=sys.stderr, flush=True)
    except BrokenPipeError:
        # The pipe's reader is gone for good. Redirect stderr, because Python's flush at exit would fail, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    except OSError:  # the disk is full, for example; there may be room for the next line
        pass


def program(name: str = "translator") -> str:
    """Return what to type for a program of this environment: its name or, if that is not found, its path."""
    return name if shutil.which(name) else shlex.quote(str(Path(sys.argv[0]).with_name(name)))


def is_terminal() -> bool:
    """Return whether stderr is a terminal, where a progress bar can be redrawn.

    The check that `rich` does is not enough, because `rich` takes a log file for a terminal if FORCE_COLOR is
    set, as it is on CI services.
    """
    return _console.is_terminal and not _console.is_dumb_terminal and _console.file.isatty()


def status(*fields: str) -> str:
    """Join fields, the most important first: all of them, or those that fit on a terminal beside a bar."""
    room = _console.width - _BESIDE_STATUS if is_terminal() else sys.maxsize
    while fields and len(" · ".join(fields)) > room:
        fields = fields[:-1]
    return " · ".join(fields)


def progress_bar() -> Progress:
    """Return a progress bar that shows, after the percentage, the field `status` of its task."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),  # the room that is left
        TaskProgressColumn(),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
        console=_console,
        transient=True,
        expand=True,
    )


def use_utf8() -> None:
    """Make the standard streams use UTF-8, whatever the locale is, and write newlines untranslated."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="replace")
