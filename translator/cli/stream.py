"""Lines through a pipe: N in, N out, in order, a lone one answered at once."""

import io
import queue
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

from translator.data.lines import LONG_LINE, MAX_LINE_BYTES
from translator.errors import DataError

#: Lines read ahead of their translation, at most.
READ_AHEAD = 4096


class InputLine(NamedTuple):
    """One line of input.

    Attributes:
        text: without its ending.
        ending: `\\r` where the line ended in `\\r\\n`, to be put back; empty otherwise.
        damaged: whether bytes that are no UTF-8 became U+FFFD.
    """

    text: str
    ending: str
    damaged: bool


def standard_input() -> BinaryIO:
    """Return stdin by a reader of its own: at exit Python takes the lock of `sys.stdin`'s, which a thread
    that waits for a line would hold."""
    return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))


def waiting_lines(stream: BinaryIO, *, most: int) -> Iterator[list[InputLine]]:
    """Yield the lines that wait to be answered, together: at least one, at most `most`.

    A thread reads ahead, so that a line sent by itself is yielded before the next one comes.

    Raises:
        DataError, OSError, MemoryError: a line has no end, or the stream cannot be read to its own; the lines
            before are yielded first.
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
        taken = [decode_line(raw) for raw in group if raw is not None]
        if first and taken:
            taken[0] = taken[0]._replace(text=taken[0].text.removeprefix("\ufeff"))
            first = False
        if taken:
            yield taken
        if group[-1] is None:
            if failures:
                raise failures[0]
            return


def decode_line(raw: bytes) -> InputLine:
    """Return a line of bytes as text; what is no UTF-8 becomes U+FFFD."""
    raw = raw.removesuffix(b"\n")
    ending = "\r" if raw.endswith(b"\r") else ""
    raw = raw[: len(raw) - len(ending)]
    try:
        return InputLine(raw.decode("utf-8"), ending, damaged=False)
    except UnicodeDecodeError:
        return InputLine(raw.decode("utf-8", "replace"), ending, damaged=True)
