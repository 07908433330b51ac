"""Ctrl-C and SIGTERM raise one exception and let a program clean up."""

import os
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from forked import Forked
from phrases import command, environment, write_phrases

from translator import signals
from translator.signals import TERMINATED, StopOnce, signal_handler


def ignore(*_: object) -> None: ...


@pytest.mark.parametrize(
    ("signum", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_several_in_a_row_raise_once(signum: int, error: type[BaseException]) -> None:
    handler = StopOnce()
    with pytest.raises(error):
        handler(signum, None)
    for _ in range(3):
        handler(signum, None)


def test_a_press_much_later_raises_again(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = StopOnce()
    for now in (0.5, 1.6):
        monkeypatch.setattr(signals.time, "monotonic", lambda now=now: now)
        with pytest.raises(KeyboardInterrupt):
            handler(signal.SIGINT, None)


def test_a_signal_is_handled_and_given_back() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with signal_handler(signal.SIGTERM, StopOnce(), instead_of=signal.SIG_DFL):
        with pytest.raises(SystemExit) as stopped:
            os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.value.code == TERMINATED == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("theirs", [signal.SIG_IGN, ignore])
def test_what_somebody_handles_or_ignores_stays_so(theirs: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, theirs)
    with signal_handler(signal.SIGTERM, StopOnce(), instead_of=signal.SIG_DFL):
        assert signal.getsignal(signal.SIGTERM) == theirs
    assert signal.getsignal(signal.SIGTERM) == theirs


def test_another_thread_handles_nothing() -> None:
    seen = []

    def look() -> None:
        with signal_handler(signal.SIGTERM, StopOnce(), instead_of=signal.getsignal(signal.SIGTERM)):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


# -- real signals to real processes --------------------------------------------------------------------


def start(path: Path, verb: str, *, is_forked: bool) -> subprocess.Popen[bytes]:
    """A process that handles Ctrl-C, which background jobs of a shell ignore."""
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    if is_forked:
        return Forked(command(verb, path), env=environment(), **streams)
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(command(verb, path), env=environment(), preexec_fn=heard, **streams)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A configuration with a corpus that takes many seconds to prepare."""
    path = write_phrases(tmp_path)
    for language in ("fr", "en"):
        file = tmp_path / "corpus" / f"train.{language}"
        lines = file.read_text(encoding="utf-8").splitlines()
        text = "".join(f"{line} {n}\n" for n in range(300) for line in lines)
        file.write_text(text, encoding="utf-8")
    return path


def partial_of(path: Path) -> list[Path]:
    return list((path.parent / "cache").glob("partial-*"))


def wait_for_preparation(path: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 100
    while not partial_of(path):
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < until
        time.sleep(0.005)


def without_phase(stderr: bytes) -> bytes:
    """Without the line that `train` starts with."""
    return stderr.removeprefix("preparing …\n".encode())


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "is_forked"), [("train", False), ("check-data", True)])
@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, b"terminated"), (signal.SIGHUP, b"hung up")])
def test_what_ends_it_while_the_data_are_prepared_ends_it_at_once_in_one_line(
    large: Path, verb: str, is_forked: bool, number: int, word: bytes
) -> None:
    with start(large, verb, is_forked=is_forked) as process:
        wait_for_preparation(large, process)
        for _ in range(3):
            process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, without_phase(stderr)) == (128 + number, b"error: " + word + b"\n")
    assert not partial_of(large)
    assert not (large.parent / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("pause", "is_forked"), [(0.0, False), (0.005, True), (0.1, True)])
def test_many_presses_of_ctrl_c_show_no_traceback(large: Path, pause: float, is_forked: bool) -> None:
    with start(large, "train", is_forked=is_forked) as process:
        wait_for_preparation(large, process)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(pause)
        assert process.stderr is not None
        stderr = process.stderr.read()
    assert (process.returncode, without_phase(stderr)) == (130, b"")
