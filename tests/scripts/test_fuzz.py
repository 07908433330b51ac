"""Fuzzing is reproducible and detects failures."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from translator.data import readers
from translator.errors import DataError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import fuzz
import fuzz_inputs as inputs

SCRIPTS = Path(fuzz.__file__).parent
MAKERS = (inputs.prose, inputs.configuration, inputs.override, inputs.table, inputs.links)


@pytest.fixture(autouse=True)
def _no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The alarm is the one of the tests' own time limit."""
    monkeypatch.setattr("signal.setitimer", lambda *_: None)


@pytest.mark.parametrize("make", MAKERS)
def test_inputs_depend_on_the_seed_alone(make: Callable[[Random], Any]) -> None:
    first, again, other = ([make(draw) for _ in range(50)] for draw in map(Random, ("1", "1", "2")))
    assert first == again
    assert first != other
    assert len(set(map(repr, first))) > 25


def refuse(given: str) -> None:
    raise DataError("no")


class PanicError(BaseException):
    """As code in Rust raises."""


def panic(given: str) -> None:
    raise PanicError


@pytest.mark.parametrize(
    ("check", "counts", "finding"),
    [
        (refuse, {"refused": 20}, None),
        (inputs.check_map, {None: 20}, None),
        (lambda text: 1 / 0, {"wrong": 20}, "ZeroDivisionError at test_fuzz.py"),
        (panic, {"wrong": 20}, "PanicError at test_fuzz.py"),
    ],
)
def test_own_errors_are_refusals_and_others_are_findings(
    monkeypatch: pytest.MonkeyPatch,
    check: Callable[[Any], object],
    counts: dict[str | None, int],
    finding: str | None,
) -> None:
    monkeypatch.setattr(fuzz, "OURS", (*fuzz.OURS, str(Path(__file__).parent)))
    found = fuzz.feed(fuzz.Target("x", 1, inputs.prose, check), 20, seed=1)
    assert found[0] == counts
    assert [place.partition(":")[0] for place in found[1]] == [finding] * (finding is not None)


@pytest.mark.parametrize(
    ("name", "broken", "make", "check"),
    [
        ("map_input", lambda text: text + "x", inputs.prose, inputs.check_map),
        ("sentence_spans", lambda text, language: [(0, len(text))], inputs.prose, inputs.check_sentences),
        ("split_text", lambda text, fits: text.split(), inputs.prose, inputs.check_splitting),
        ("add_noise", lambda *_: "", inputs.prose, inputs.check_noise),
        ("format_links", lambda links, one_based: "", inputs.links, inputs.check_links),
    ],
)
def test_what_breaks_an_invariant_is_found(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    broken: object,
    make: Callable[[Random], Any],
    check: Callable[[Any], object],
) -> None:
    target = fuzz.Target(name, 1, make, check)
    assert not fuzz.feed(target, 100, seed=1)[1]
    monkeypatch.setattr(inputs, name, broken)
    assert any(
        place.startswith("AssertionError at fuzz_inputs.py:") for place in fuzz.feed(target, 100, seed=1)[1]
    )


def test_a_reader_that_loses_a_line_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = fuzz.Target("x", 1, inputs.table, lambda given: inputs.check_table(given, tmp_path / "x"))
    assert not fuzz.feed(target, 100, seed=1)[1]
    monkeypatch.setattr(inputs, "read_parallel", lambda *paths: [*readers.read_parallel(*paths)][1:])
    assert fuzz.feed(target, 100, seed=1)[1]


@pytest.mark.slow
def test_the_program_feeds_all_and_ends_what_takes_too_long() -> None:
    def run(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", f"import fuzz, fuzz_inputs, sys, time\n{code}\nfuzz.main()"],
            cwd=SCRIPTS,
            capture_output=True,
            text=True,
            timeout=200,
        )

    done = run("sys.argv[1:] = ['--inputs', '600']")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 13
    done = run(
        "sys.argv[1:] = ['--inputs', '3', '--only', 'links']\n"
        "fuzz.SECONDS = 0.2\n"
        "fuzz_inputs.parse_links = lambda *_, **__: time.sleep(60)"
    )
    assert done.returncode == 1
    assert "lines of links: TooSlowError at " in done.stderr
