"""Output files named by options: atomic, or written to devices, pipes and open files."""

import os
import stat
import threading
from pathlib import Path

import pytest

from translator.cli.output import check_output, replaces, write_output
from translator.errors import PasserelleError

CONTENT = "Où ?\n".encode() * 20_000  # more than a pipe holds


def test_a_file_is_written_whole_and_a_link_stays(tmp_path: Path) -> None:
    for there in (False, True):
        folder = tmp_path / str(there)
        (folder / "below").mkdir(parents=True)
        file, link = folder / "below" / "file", folder / "link"
        link.symlink_to("below/file")
        if there:
            file.write_text("before")
        check_output("--output", link)
        assert replaces(link) == there
        write_output("--output", link, CONTENT)
        assert link.readlink() == Path("below/file")
        assert file.read_bytes() == CONTENT
        assert [path.name for path in (folder / "below").iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere/else")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PasserelleError) as stopped:
        write_output("--png", tmp_path / "file", CONTENT)
    assert str(stopped.value) == (
        f"--png {tmp_path / 'file'}: cannot be written: No space left on device; name another file"
    )
    assert (tmp_path / "file").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    check_output("--output", pipe)
    assert not replaces(pipe)
    write_output("--output", pipe, CONTENT)
    reader.join(timeout=60)
    assert found == [CONTENT]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_into(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (Path("/dev/null"), tmp_path / "link"):
        check_output("--output", path)
        assert not replaces(path)
        write_output("--output", path, CONTENT)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd")
def test_an_open_file_is_written_on(tmp_path: Path) -> None:
    """As with `--output /dev/stdout > file`: the file is appended to, not overwritten or replaced."""
    file = tmp_path / "file"
    with file.open("wb", buffering=0) as opened:
        opened.write(b"before\n")
        path = Path(f"/dev/fd/{opened.fileno()}")
        check_output("--output", path)
        assert not replaces(path)
        write_output("--output", path, b"ours\n")
        opened.write(b"after\n")
    assert file.read_bytes() == b"before\nours\nafter\n"


def test_standard_output_comes_in_order(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    print("scores")
    write_output("--output", Path("/dev/stdout"), b"translations\n")
    print("end")
    assert capfdbinary.readouterr().out == b"scores\ntranslations\nend\n"


def test_a_reader_that_has_gone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(BrokenPipeError):
            write_output("--output", Path(f"/dev/fd/{writer}"), CONTENT)
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/file", "there is no folder"),
        (".", "this is a folder"),
        ("", "this is a folder"),
        ("out", "there is no folder"),
        ("circle", "points back to itself"),
    ],
)
def test_what_cannot_be_written_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "out").symlink_to("nowhere/file")
    with pytest.raises(PasserelleError, match=message) as stopped:
        check_output("--png", Path(name))
    assert str(stopped.value).startswith("--png ")
