"""Streaming standard input: group the lines that are waiting, without delaying a single one."""

import io
import queue
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

from translator.data.lines import LONG_LINE, MAX_LINE_BYTES
from translator.errors import DataError

#: Maximum number of lines read ahead of their translation.
READ_AHEAD = 4096


class InputLine(NamedTuple):
    """One line of input.

    Attributes:
        text: the line without its ending.
        ending: `\\r` if the line ended in `\\r\\n`, to be restored on output; else empty.
        damaged: whether invalid UTF-8 was replaced by U+FFFD.
    """

    text: str
    ending: str
    damaged: bool


def standard_input() -> BinaryIO:
    """Return a new buffered reader of stdin.

    Python locks `sys.stdin.buffer` at exit, which would deadlock with a thread that is waiting for a line.
    """
    return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))


def waiting_lines(stream: BinaryIO, *, most: int) -> Iterator[list[InputLine]]:
    """Yield the lines that are waiting, in groups of 1 to `most`.

    A thread reads ahead, so that a single line is yielded before the next one arrives.

    Raises:
        DataError, OSError, MemoryError: a line is too long, or reading fails; the lines before it are yielded
            first.
    """
    lines: queue.Queue[bytes | None] = queue.Queue(READ_AHEAD)
    failures: list[DataError | OSError | MemoryError] = []

    def read() -> None:
        try:
            for number, line in enumerate(iter(partial(stream.readline, MAX_LINE_BYTES + 1), b""), start=1):
                if len(line) > MAX_LINE_BYTES:
                    failures.append(DataError(f"stdin:{number}: {LONG_LINE}"))
                    break
                lines.put(line)
        except (OSError, MemoryError) as error:
            failures.append(error)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    first = True
    while True:
        group = [lines.get()]
        while len(group) < most and group[-1] is not None:
            try:
                group.append(lines.get_nowait())
            except queue.Empty:
                break
        decoded = [decode_line(raw) for raw in group if raw is not None]
        if first and decoded:
            decoded[0] = decoded[0]._replace(text=decoded[0].text.removeprefix("\ufeff"))
            first = False
        if decoded:
            yield decoded
        if group[-1] is None:
            if failures:
                raise failures[0]
            return


def decode_line(raw: bytes) -> InputLine:
    """Decode a line from UTF-8; replace invalid bytes by U+FFFD."""
    raw = raw.removesuffix(b"\n")
    ending = "\r" if raw.endswith(b"\r") else ""
    raw = raw[: len(raw) - len(ending)]
    try:
        return InputLine(raw.decode("utf-8"), ending, damaged=False)
    except UnicodeDecodeError:
        return InputLine(raw.decode("utf-8", "replace"), ending, damaged=True)
