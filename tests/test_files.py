"""Atomic writing, checksums, and removing the temporary files of killed processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from translator import files
from translator.files import (
    CHECKSUMS,
    atomic_write,
    ensure_sealed,
    partial_folder,
    remove_partial_files,
    remove_partial_folders,
)

# -- one file ------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old")
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_ctrl_c_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "file", b"content")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "file", b"")
        assert os.umask(umask) == umask, "left as it was"
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


def test_the_permissions_of_other_files_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The umask is the whole process's: what another thread creates meanwhile would be open to everybody."""
    monkeypatch.setattr(os, "umask", lambda mask: 1 / 0)
    atomic_write(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was flushed and what was renamed, in order, by name."""
    seen: list[tuple[str, str]] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def flushed(descriptor: int) -> None:
        seen.append(("flushed", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def renamed(do: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def move(source: str, target: str) -> None:
            seen.append(("renamed", Path(target).name))
            do(source, target)

        return move

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed(replace))
    monkeypatch.setattr(os, "rename", renamed(rename))
    return seen


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, events: list[tuple[str, str]]) -> None:
    atomic_write(tmp_path / "file", b"content")
    [(first, partial), *others] = events
    assert first == "flushed"
    assert partial.startswith(".file-")
    assert others == [("renamed", "file"), ("flushed", tmp_path.name)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_folder_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, events: list[tuple[str, str]]
) -> None:
    ensure_sealed(tmp_path / "folder", ["a"], lambda folder: write(folder / "a", b"content"))
    at = events.index(("renamed", "folder"))
    assert {name for _, name in events[:at]} == {"a", CHECKSUMS, "whole"}
    assert events[at + 1 :] == [("flushed", tmp_path.name)]


# -- sealed folders ------------------------------------------------------------------------------------


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


#: What may happen to a file.
DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 2),
    "empty": lambda path: os.truncate(path, 0),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "text": lambda path: path.write_text("[[[["),
}


@pytest.mark.parametrize("name", ["a", "b", CHECKSUMS])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_made_anew_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str, name: str
) -> None:
    folder, n_written = tmp_path / "folder", 0

    def make(partial: Path) -> None:
        nonlocal n_written
        n_written += 1
        for each in ("a", "b"):
            write(partial / each, each.encode() * 5000)

    for _ in range(2):
        ensure_sealed(folder, ["a", "b"], make)
    assert (n_written, capsys.readouterr().err) == (1, "")
    DAMAGE[damage](folder / name)
    ensure_sealed(folder, ["a", "b"], make)
    expected = f"{folder}: damaged, or written by a version without checksums; it is created again\n"
    assert (n_written, capsys.readouterr().err) == (2, expected)
    assert (folder / "a").read_bytes() == b"a" * 5000
    assert os.listdir(tmp_path) == ["folder"]
    ensure_sealed(folder, ["a", "b"], make)
    assert n_written == 2


def test_a_folder_that_cannot_be_made_leaves_the_damaged_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    ensure_sealed(folder, ["a"], lambda partial: write(partial / "a", b"one"))
    write(folder / "a", b"two")

    def fail(partial: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_sealed(folder, ["a"], fail)
    assert os.listdir(tmp_path) == ["folder"]


def test_of_two_at_once_the_first_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "folder"

    def slowly(partial: Path) -> None:
        write(partial / "a", b"second")
        ensure_sealed(folder, ["a"], lambda other: write(other / "a", b"first"))

    ensure_sealed(folder, ["a"], slowly)
    assert (folder / "a").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["folder"]


# -- what killed processes leave -----------------------------------------------------------------------

WRITER = """
import os, sys, time
from pathlib import Path
from translator import files
parent = Path(sys.argv[1])
def wait(*_):
    print("writing", flush=True)
    time.sleep(60)
if sys.argv[2] == "file":
    os.replace = wait
    files.atomic_write(parent / "file", b"content")
else:
    with files.partial_folder(parent) as partial:
        (partial / "whole").mkdir()
        wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_process_left_is_removed_when_it_is_dead(tmp_path: Path, kind: str) -> None:
    def clear() -> None:
        remove_partial_files(tmp_path, ["file"])
        remove_partial_folders(tmp_path)

    code = [sys.executable, "-c", WRITER, str(tmp_path), kind]
    with subprocess.Popen(code, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        left = os.listdir(tmp_path)
        assert len(left) == 1
        clear()
        assert os.listdir(tmp_path) == left, "somebody writes it"
        process.send_signal(signal.SIGKILL)
    assert os.listdir(tmp_path) == left
    clear()
    assert os.listdir(tmp_path) == []


def test_only_what_is_surely_left_behind_is_removed(tmp_path: Path) -> None:
    """Names of eight letters are words too."""
    for name in ("file", ".file", ".file-old", ".other-abcdefgh", "file-abcdefgh", ".file-backup.1"):
        write(tmp_path / name, b"mine")
    (tmp_path / ".file-abcdefgh").mkdir()
    (tmp_path / "partial-solution").mkdir()
    write(tmp_path / "partial-solution" / "thesis.tex", b"mine")
    write(tmp_path / "partial-letterxx", b"mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "partial-linklink").symlink_to(tmp_path / "elsewhere")
    before = sorted(os.listdir(tmp_path))
    (tmp_path / "partial-abcdefg_").mkdir()
    write(tmp_path / "partial-abcdefg_" / "train.arrow", b"theirs")
    write(tmp_path / ".file-abcdefg1", b"theirs")
    remove_partial_files(tmp_path, ["file"])
    remove_partial_folders(tmp_path)
    assert sorted(os.listdir(tmp_path)) == before
    remove_partial_folders(tmp_path / "none")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_name_that_another_process_took_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    taken = tmp_path / (".file-00000000" if kind == "file" else "partial-00000000")
    taken.mkdir()
    ends = iter(["00000000", "00000001"])
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: next(ends))
    if kind == "file":
        files.atomic_write(tmp_path / "file", b"content")
    else:
        with files.partial_folder(tmp_path) as partial:
            assert partial.name == "partial-00000001"
    assert sorted(os.listdir(tmp_path)) == sorted([taken.name, *["file"] * (kind == "file")])


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_signal_at_any_line_leaves_nothing(tmp_path: Path, kind: str) -> None:
    n_lines = stop_at = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal n_lines
        if frame.f_code.co_filename == files.__file__ and event == "line":
            n_lines += 1
            if n_lines == stop_at:
                raise KeyboardInterrupt
        return trace

    def run(line: int) -> None:
        nonlocal n_lines, stop_at
        n_lines, stop_at = 0, line
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            if kind == "file":
                files.atomic_write(tmp_path / "file", b"content")
            else:
                with files.partial_folder(tmp_path):
                    sys.settrace(before)
        finally:
            sys.settrace(before)

    run(0)
    for line in range(1, n_lines + 1):
        (tmp_path / "file").unlink(missing_ok=True)
        with pytest.raises(KeyboardInterrupt):
            run(line)
        assert os.listdir(tmp_path) in ([], ["file"] * (kind == "file")), f"line {line}"
    assert line > 10


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    flock, n_locked = files.fcntl.flock, 0

    def late(descriptor: int, operation: int) -> None:
        nonlocal n_locked
        n_locked += 1
        if n_locked == 1:  # another process comes between making and locking
            remove_partial_files(tmp_path, ["file"])
            remove_partial_folders(tmp_path)
            assert os.listdir(tmp_path) == []
        flock(descriptor, operation)

    monkeypatch.setattr(files.fcntl, "flock", late)
    if kind == "file":
        atomic_write(tmp_path / "file", b"content")
        assert (tmp_path / "file").read_bytes() == b"content"
    else:
        with partial_folder(tmp_path) as partial:
            write(partial / "whole", b"content")
    assert n_locked == 3


def test_without_locks_everything_is_written_and_nothing_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    write(tmp_path / ".file-abcdefgh", b"")
    for lock in (None, type("NoLocks", (), {"flock": refuse, "LOCK_EX": 2, "LOCK_NB": 4})):
        monkeypatch.setattr(files, "fcntl", lock)
        atomic_write(tmp_path / "file", b"content")
        with partial_folder(tmp_path) as partial:
            assert partial.is_dir()
        remove_partial_files(tmp_path, ["file"])
        assert sorted(os.listdir(tmp_path)) == [".file-abcdefgh", "file"]
