"""Where words for people go: stderr. Results alone go to stdout."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

_console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def note(message: str) -> None:
    """Print one line for the reader on stderr."""
    _console.print(message)


def is_terminal() -> bool:
    """Whether stderr is a terminal, so that something may be redrawn on it."""
    return _console.is_terminal


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stderr; the first column is left-aligned, the others right-aligned."""
    grid = Table(title=title, title_justify="left", title_style="bold")
    for i, name in enumerate(header):
        grid.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    _console.print(grid)


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
    """Make the standard streams UTF-8 whatever the locale says, and keep `\\n` as it is."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
