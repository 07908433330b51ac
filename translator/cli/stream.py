"""Reading standard input as a stream.

Lines that have already arrived are grouped, but a line never has to wait for later lines.
"""

import io
import queue
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

from translator.data.lines import LONG_LINE, MAX_LINE_BYTES
from translator.errors import DataError

#: Maximum number of lines that have been read and are waiting to be translated.
READ_AHEAD = 4096


class InputLine(NamedTuple):
    """One line of input.

    Attributes:
        text: the line without its ending.
        ending: `\\r` if the line ended in `\\r\\n`, else empty. The translation gets the same ending.
        damaged: whether the line had invalid UTF-8, which was replaced by U+FFFD.
    """

    text: str
    ending: str
    damaged: bool


def standard_input() -> BinaryIO:
    """Return a new buffered reader of stdin.

    `sys.stdin.buffer` cannot be used: Python must acquire the lock of that buffer at exit, but a thread that
    is still waiting for a line from the buffer would hold the lock.
    """
    return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))


def waiting_lines(stream: BinaryIO, *, max_lines: int) -> Iterator[list[InputLine]]:
    """Yield the lines that have arrived, in groups of 1 to `max_lines` lines.

    A thread reads the lines. While no line has arrived, this function waits for one. Then it yields all lines
    that have arrived, up to `max_lines`, without waiting for further lines.

    Raises:
        DataError, OSError, MemoryError: a line is too long, or reading fails. All lines before the failure
            are yielded first.
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
        while len(group) < max_lines and group[-1] is not None:
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
    """Decode a line of UTF-8 and split off its ending. Invalid bytes are replaced by U+FFFD."""
    raw = raw.removesuffix(b"\n")
    ending = "\r" if raw.endswith(b"\r") else ""
    raw = raw[: len(raw) - len(ending)]
    try:
        return InputLine(raw.decode("utf-8"), ending, damaged=False)
    except UnicodeDecodeError:
        return InputLine(raw.decode("utf-8", "replace"), ending, damaged=True)
