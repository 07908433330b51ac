"""The verb `explain`: its output files and its errors."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from phrases import Trained

from translator.cli import main
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "La reine chante sous le pont."
Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def run(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """A function `(*arguments) -> (exit code, stdout, stderr)` that runs `explain` in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["explain", "--model", str(trained.model), *arguments])
        out, err = capfd.readouterr()
        return stopped.value.code, out, err

    return call


def refusal(done: tuple[object, str, str], code: int) -> str:
    assert done[:2] == (code, "")
    [line] = done[2].splitlines()
    assert line.startswith("error: ")
    return line


def test_it_writes_a_page_a_picture_and_the_numbers(run: Run, trained: Trained, tmp_path: Path) -> None:
    code, out, err = run(TEXT, "--output", "a.html", "--png", "a.png", "--json", "a.json")
    [usual] = Translator.load(trained.model).translate([TEXT])
    assert (code, err) == (0, "")
    assert out.splitlines() == [usual.text, "written: a.html", "written: a.png", "written: a.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json", "a.png"]
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["translation"] == usual.text


def test_beam_and_prefix(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(TEXT, "--json", "a.json", "--beam", "1", "--prefix", "My cat")
    assert code == 0
    assert out.startswith("My cat")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["beam_size"] == 1


def test_what_is_there_is_not_overwritten_unless_asked(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("mine", encoding="utf-8")
    line = refusal(run(TEXT, "--json", "a.json", "--output", "a.html"), 1)
    assert "--output a.html: already exists" in line
    assert "--force" in line
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "a.json").exists(), "all or nothing"
    assert run(TEXT, "--output", "a.html", "--force")[0] == 0
    assert (tmp_path / "a.html").read_text(encoding="utf-8") != "mine"


def test_a_pipe_or_a_device_is_not_replaced(run: Run, tmp_path: Path) -> None:
    code, out, err = run(TEXT, "--json", "/dev/stdout", "--output", "/dev/null")
    assert (code, err) == (0, "")
    translation, to_null, numbers, to_stdout = out.splitlines()
    assert json.loads(numbers)["translation"] == translation
    assert (to_null, to_stdout) == ("written: /dev/null", "written: /dev/stdout")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_takes_no_translation_away(run: Run) -> None:
    code, out, err = run(TEXT, "--json", "/dev/full")
    assert (code, len(out.splitlines())) == (1, 1)
    assert err == "error: --json /dev/full: cannot be written: No space left on device; name another file\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((" \t", "--output", "a.html"), 2, "the text is blank"),
        ((TEXT,), 2, "nothing to write; give --output"),
        ((TEXT, "--output", "a", "--json", "./a"), 2, "the same file"),
        ((TEXT, "--output", "none/a.html"), 1, "there is no folder none"),
        ((TEXT, "--png", "."), 1, "this is a folder"),
        ((TEXT, "--output", "a.html", "--prefix", "a\nb"), 2, "line break"),
        ((TEXT, "--output", "a.html", "--device", "nowhere"), 2, "device 'nowhere' is not one of cpu"),
    ],
)
def test_refusals_are_one_line(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in refusal(run(*arguments), code)
    assert list(tmp_path.iterdir()) == []


def test_text_that_was_no_utf8_on_the_command_line(run: Run, tmp_path: Path) -> None:
    assert run("caf\udce9", "--json", "a.json")[0] == 0
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["source"] == "caf\ufffd"
