"""Why the C operations are not available: the reported reason is the real one."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from translator.engine import compiler as compiler_module
from translator.engine import native

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler `cc`")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    native._load.cache_clear()


def compiler(path: Path, script: str) -> str:
    """A command that runs a Python script, whose last argument but one is the path of the library."""
    path.write_text(f"import os, sys, time\nmade = sys.argv[-2]\n{script}\n", encoding="utf-8")
    return f"{sys.executable} {path}"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("no-such-compiler", "'no-such-compiler' (No such file or directory) does not compile C"),
        ("/", "'/' (Permission denied) does not compile C"),
        ("cc '", '"cc \'" (No closing quotation) does not compile C'),
        ("false", "'false' (exit code 1) does not compile C"),
        ("true", "'true' (exit code 0, but no library was written) does not compile C"),
    ],
)
def test_a_command_that_is_no_compiler(monkeypatch: pytest.MonkeyPatch, command: str, reason: str) -> None:
    monkeypatch.setenv("CC", command)
    assert native.load_native() is None
    assert native.problem() == reason


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "sys.stderr.write('native.c: note\\nnative.c:3: error: bad \\udcff\\n'); sys.exit(4)",
            "exit code 4: native.c:3: error: bad",
        ),
        ("os.kill(os.getpid(), 9)", "signal 9"),
        ("sys.stderr.write('licence expired'); sys.exit(1)", "exit code 1: licence expired"),
    ],
)
def test_a_compiler_that_fails_has_its_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    monkeypatch.setenv("CC", compiler(tmp_path / "cc.py", script))
    assert native.load_native() is None
    said = native.problem()
    assert said is not None
    assert f"({reason}" in said
    assert "\n" not in said


def test_a_compiler_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler_module, "COMPILER_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setenv("CC", compiler(tmp_path / "cc.py", "time.sleep(60)"))
    started = time.monotonic()
    assert native.load_native() is None
    assert "(timed out after 0.5 s) does not compile C" in str(native.problem())
    assert time.monotonic() - started < 20


def test_a_library_that_cannot_be_loaded_is_reported_with_the_loader_s_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a temporary folder mounted noexec."""
    monkeypatch.setenv("CC", compiler(tmp_path / "cc.py", "open(made, 'w').write('no library')"))
    assert native.load_native() is None
    said = str(native.problem())
    assert "cannot be loaded" in said
    assert "native.so" in said  # the loader's message
    assert "$TMPDIR" in said
    assert "does not compile" not in said


@needs_cc
def test_a_library_without_the_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.c"
    other.write_text("long lanes(void) { return 1; }\n", encoding="utf-8")
    made = tmp_path / "other.so"
    subprocess.run(["cc", "-shared", "-fPIC", other, "-o", made], check=True)
    script = f"import shutil; shutil.copy({str(made)!r}, made)"
    monkeypatch.setenv("CC", compiler(tmp_path / "cc.py", script))
    assert native.load_native() is None
    assert "lacks a function" in str(native.problem())


@needs_cc
def test_control_a_compiler_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("cc", " "):
        monkeypatch.setenv("CC", command)
        assert native.load_native() is not None
        assert native.problem() is None
