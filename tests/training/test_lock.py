"""A run folder has one writer at a time; the lock goes with the process."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from translator import files
from translator.config import Config
from translator.config.file import config_to_yaml
from translator.errors import TrainingError
from translator.model_folder import MANIFEST
from translator.training import run
from translator.training import run_dir as folder_module
from translator.training.lock import SESSION, run_lock
from translator.training.run import train

MakeConfig = Callable[..., Config]

QUICK = (
    "data.files={train: 'train.{lang}', val: 'val.{lang}'}",
    "train.max_steps=2",
    "validation.n_samples=0",
)

HOLD = """
import sys
from pathlib import Path
from translator.training.lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def unfinished(config: Config, name: str) -> Path:
    folder = folder_module.new_folder(Path(config.run.root), name)
    (folder / "config.yaml").write_text(config_to_yaml(config), encoding="utf-8")
    return folder


def test_a_second_writer_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        session = json.loads((tmp_path / SESSION).read_text())
        who = f"process {os.getpid()} on {session['host']}"
        expected = re.escape(
            f"{tmp_path} is being trained by {who}; wait for it or stop it, or leave --resume"
        )
        with pytest.raises(TrainingError, match=expected), run_lock(tmp_path):
            pass
    with run_lock(tmp_path):
        pass


@pytest.mark.slow
def test_a_run_that_is_being_trained_is_not_resumed_until_its_process_is_gone(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)
    config = tiny_config(*QUICK)
    folder = unfinished(config, "tiny")
    with held_by_another_process(folder) as process:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(TrainingError, match=f"is being trained by process {process.pid} on "):
            train(config, name="tiny", resume=True)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
        assert train(config, name="tiny") == folder.with_name("tiny-2") / "model", "a new one may begin"
        process.kill()
        process.wait()
        assert train(config, name="tiny", resume=True) == folder / "model"


def test_a_run_that_was_finished_meanwhile_is_not_trained_again(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(*QUICK)
    folder = unfinished(config, "tiny")

    @contextmanager
    def late(folder: Path) -> Iterator[None]:
        (folder / "model").mkdir()
        (folder / "model" / MANIFEST).write_text("{}")
        yield

    monkeypatch.setattr(run, "run_lock", late)
    with pytest.raises(
        TrainingError, match="was just finished by another process; there is nothing to resume"
    ):
        train(config, name="tiny", resume=True)
    assert not (folder / "logs").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_where_there_are_no_locks_a_note_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with run_lock(tmp_path), run_lock(tmp_path):
        pass
    said = f"{tmp_path}: no file locks ({os.strerror(number)}); train there in one process at a time"
    assert capsys.readouterr().err.splitlines() == [said, said]


def test_a_platform_without_locks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    with run_lock(tmp_path):
        assert json.loads((tmp_path / SESSION).read_text())["process"] == os.getpid()
    assert (
        "no file locks (this system has none); train there in one process at a time"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 9000, '{"process": 1}', "null"])
def test_a_holder_that_does_not_say_who_it_is(tmp_path: Path, content: str) -> None:
    with run_lock(tmp_path):
        (tmp_path / SESSION).write_text(content)
        expected = "is being trained by another process; wait for it"
        with pytest.raises(TrainingError, match=expected), run_lock(tmp_path):
            pass


def test_the_run_that_was_trained_last_is_resumed_whatever_the_files_times(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    config = tiny_config(*QUICK)
    older, newer = unfinished(config, "tiny"), unfinished(config, "tiny")
    for folder, date in ((older, "2026-01-01T00:00:00+00:00"), (newer, "2026-01-02T00:00:00+00:00")):
        (folder / SESSION).write_text(json.dumps({"started": date}))
    for folder, seconds in ((older, 2_000_000_000), (newer, 1_000)):  # as a copy may leave them
        os.utime(folder / "config.yaml", (seconds, seconds))
        os.utime(folder / SESSION, (seconds, seconds))
    assert folder_module.run_dir(config, "tiny", True) == newer
    (newer / SESSION).unlink()  # of an older version: then its configuration's time
    assert folder_module.run_dir(config, "tiny", True) == older
