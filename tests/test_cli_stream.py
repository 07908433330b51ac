"""Streaming standard input."""

import io
import os
import threading
import time

import pytest

from translator.cli.stream import READ_AHEAD, decode_line, waiting_lines
from translator.data.lines import MAX_LINE_BYTES
from translator.errors import DataError


def send(content: bytes, *, max_lines: int = 100) -> list[str]:
    reading, writing = os.pipe()
    threading.Thread(target=lambda: (os.write(writing, content), os.close(writing))).start()
    with os.fdopen(reading, "rb") as stream:
        return [
            line.text + line.ending for group in waiting_lines(stream, max_lines=max_lines) for line in group
        ]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a\n", ["a"]),
        (b"a", ["a"]),
        (b"\n\n", ["", ""]),
        (b"a\r\nb\n", ["a\r", "b"]),
        (b"a\rb\n", ["a\rb"]),
        ("a\u2028b\u0085c\n".encode(), ["a\u2028b\u0085c"]),
        (b"a\0b\n", ["a\0b"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"\xff\xfe\n", ["\ufffd\ufffd"]),
    ],
)
def test_lines_end_at_a_line_feed_only(content: bytes, lines: list[str]) -> None:
    assert send(content) == lines


def test_a_damaged_line_is_marked() -> None:
    assert decode_line(b"caf\xe9\r\n") == ("caf\ufffd", "\r", True)
    assert decode_line("café\n".encode()) == ("café", "", False)


def test_groups_are_never_larger_than_asked() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x\n" * 50)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        groups = [len(group) for group in waiting_lines(stream, max_lines=7)]
    assert sum(groups) == 50
    assert max(groups) <= 7


def test_a_file_of_any_length_is_read_only_a_little_ahead() -> None:
    stream = io.BytesIO(b"x\n" * 5 * READ_AHEAD)
    groups = waiting_lines(stream, max_lines=10)
    next(groups)
    time.sleep(0.1)  # without a limit, enough to read everything
    assert stream.tell() <= 2 * (READ_AHEAD + 10 + 1)
    assert sum(map(len, groups)) > 4 * READ_AHEAD


def test_a_lone_line_comes_before_the_next_is_sent() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as sender:
        groups = waiting_lines(stream, max_lines=10)
        for word in (b"un", b"deux", b"trois"):
            sender.write(word + b"\n")
            assert [line.text for line in next(groups)] == [word.decode()]
        sender.close()
        assert list(groups) == []


def test_a_line_without_end_is_an_error_after_those_before() -> None:
    groups = waiting_lines(io.BytesIO(b"a\n" + b"b" * (MAX_LINE_BYTES + 1) + b"\nc\n"), max_lines=10)
    assert [line.text for line in next(groups)] == ["a"]
    with pytest.raises(DataError, match=r"stdin:2: the line has more than 1,000,000 bytes; cut it"):
        next(groups)
    [longest] = next(waiting_lines(io.BytesIO(b"b" * (MAX_LINE_BYTES - 1) + b"\n"), max_lines=10))
    assert len(longest.text) == MAX_LINE_BYTES - 1


@pytest.mark.parametrize("error", [OSError("gone"), MemoryError()])
def test_a_stream_that_fails_ends_with_its_error(error: Exception) -> None:
    """An error in the reader thread is raised in the thread that waits for lines."""

    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            if line := super().readline(size):
                return line
            raise error

    found = waiting_lines(Broken(b"un\n"), max_lines=1)
    assert [line.text for line in next(found)] == ["un"]
    with pytest.raises(type(error)):
        next(found)
