"""Where words for people go: stderr. Results alone go to stdout."""

import errno
import os
import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

_console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def note(message: str) -> None:
    """Print one line for the reader on stderr; nothing, where the terminal was closed."""
    leave_closed_terminal()
    _console.print(message)


def leave_closed_terminal() -> None:
    """Write to nowhere what was for a terminal that is gone; else it is an error in the midst of our work."""
    for handle in (1, 2):
        try:
            os.get_terminal_size(handle)
        except OSError as error:
            if error.errno == errno.EIO:  # a file or a pipe says something else
                os.dup2(os.open(os.devnull, os.O_WRONLY), handle)


def log(message: str) -> None:
    """Print one line on stderr for whoever reads it; one that cannot be written is lost."""
    try:
        print(message, file=sys.stderr, flush=True)
    except (
        BrokenPipeError
    ):  # nobody will read any more, nor can what is left be written when the process ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    except OSError:  # a full disk, which may have room again
        pass


def is_terminal() -> bool:
    """Whether stderr is a terminal, so that something may be redrawn on it.

    rich alone would take FORCE_COLOR for one, which CI services set, and redraw a bar in their log.
    """
    return _console.is_terminal and _console.file.isatty()


def progress_bar() -> Progress:
    """Return a bar for a task with a total; the task's field `status` is shown beside it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
        console=_console,
        transient=True,
    )


def use_utf8() -> None:
    """Make the standard streams UTF-8 whatever the locale says, and write `\\n` as it is."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="replace")
