"""The command at a terminal: its progress, its prompt, its notes on what to do."""

import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import Forked
from phrases import Trained, command, environment, run_command, write_phrases

from translator.cli import main
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "Le chat dort à Lyon."


class Screen:
    """A command on a terminal of its own, for all of its streams."""

    def __init__(
        self,
        *arguments: str | Path,
        columns: int,
        by: type[subprocess.Popen[bytes]] = subprocess.Popen,
        **variables: str,
    ):
        self.end, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        env = environment(**{"TERM": "xterm-256color", **variables})
        del env["COLUMNS"]
        self.process = by(command(*arguments), stdin=terminal, stdout=terminal, stderr=terminal, env=env)
        os.close(terminal)
        self.said = ""

    def read_until(self, end: Callable[[str], bool]) -> None:
        while not end(self.said):
            try:
                self.said += os.read(self.end, 100_000).decode(errors="replace")
            except OSError:  # all was read, and the command has ended
                break

    def type(self, keys: str) -> str:
        """Type at a prompt; return what is shown until the next one."""
        before = len(self.said)
        os.write(self.end, keys.encode())
        self.read_until(lambda said: said[before:].endswith("fr> "))
        return self.said[before:]

    def finish(self) -> list[str]:
        """Wait for the end; return the lines, and the states of lines, that were shown, without colours."""
        self.read_until(lambda said: False)
        os.close(self.end)
        assert self.process.wait(timeout=60) == 0, self.said
        frames = re.split(r"\r\x1b\[2K|\r|\n", self.said)
        return [re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", frame).rstrip() for frame in frames]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "shown", "by"),
    [(60, "loss", Forked), (80, "step", subprocess.Popen), (120, "tokens/s", Forked)],
)
def test_a_training_shows_its_phases_within_the_terminal(
    tmp_path: Path, columns: int, shown: str, by: type[subprocess.Popen[bytes]]
) -> None:
    screen = Screen("train", write_phrases(tmp_path), columns=columns, by=by)
    start = time.monotonic()
    screen.read_until(lambda said: "\n" in said)
    assert time.monotonic() - start < 2
    lines = screen.finish()
    bars = [line for line in lines if line.startswith(("training", "validating"))]
    assert max(map(len, bars)) <= columns
    assert all(len(re.findall("[━╸╺]", line)) >= 8 for line in bars)
    assert any(f" · {shown} " in line or line.endswith(shown) or shown in line for line in bars)
    texts = [*lines, ""]
    phases = [
        next(i for i, line in enumerate(texts) if line.startswith(phase))
        for phase in ("preparing …", "training ", "validating ", "testing 10 lines …", "try next:")
    ]
    assert phases == sorted(phases)


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=str)
def test_a_dumb_terminal_and_one_without_colours(trained: Trained, variables: dict[str, str]) -> None:
    options = f"run.root={trained.root}/more"
    screen = Screen("train", trained.config, options, columns=80, by=Forked, **variables)
    lines = screen.finish()
    assert not re.search(r"\x1b\[[\d;]*m", screen.said)
    if "TERM" in variables:  # whole lines, as in a log
        assert "\x1b" not in screen.said
        assert any(re.match(r"training +\d+%  \d+:\d\d left · loss ", line) for line in lines)
        assert "validating" in lines
    else:
        assert any(re.match("training +━+.* left · loss ", line) for line in lines)


@pytest.mark.slow
def test_a_log_has_no_escapes_even_if_colour_is_forced(tmp_path: Path) -> None:
    done = run_command("train", write_phrases(tmp_path), FORCE_COLOR="1")
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "preparing …"
    assert any(re.match(r"training +\d+%  \d+:\d\d left · loss ", line) for line in lines)
    assert "validating" in lines


@pytest.mark.parametrize(
    ("verb", "speak"),
    [("train", "note"), ("check-data", "note_on_terminal"), ("evaluate", "note_on_terminal")],
)
def test_a_command_speaks_before_what_takes_seconds(trained: Trained, verb: str, speak: str) -> None:
    """PyTorch, Lightning and the corpus are not loaded yet when the first line is printed."""
    code = f"""
import os, sys
from translator import console
from translator.cli import main
def speak(message):
    print(message, {{"torch", "lightning", "datasets"}} & set(sys.modules), flush=True)
    os._exit(0)
console.{speak} = speak
main(sys.argv[1:])
"""
    argument = ["--model", str(trained.model)] if verb == "evaluate" else [str(trained.config)]
    done = subprocess.run(
        [sys.executable, "-c", code, verb, *argument], capture_output=True, check=False, timeout=60
    )
    assert done.stdout.decode() == "preparing … set()\n", done.stderr.decode()


def test_a_training_ends_with_what_to_try(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    arguments = ["train", str(trained.config), f"run.root={tmp_path}", "train.max_steps=2"]

    def last_lines(*more: str) -> list[str]:
        with pytest.raises(SystemExit) as stopped:
            main([*arguments, *more])
        assert stopped.value.code == 0
        lines = capfd.readouterr().err.splitlines()
        return lines[lines.index("try next:") + 1 :]

    run = tmp_path / "phrases"
    assert last_lines() == [
        f"  translator translate --model {run}",
        f"  translator evaluate --model {run} --robustness",
        f"  tensorboard --logdir {run}/logs",
        f"curves: {run}/curves.png",
    ]
    # Control: what there is not is not named.
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: False)
    monkeypatch.setattr("translator.training.trainer.TensorBoardLogger", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("translator.training.trainer._loggers", lambda folder: [])
        no_test = "data.files={train: 'train.{lang}', val: 'val.{lang}'}"
        assert last_lines(no_test) == [f"  translator translate --model {run}-2"]


# -- the prompt ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_prompt_edits_lines_recalls_them_and_knows_two_words(trained: Trained) -> None:
    [answer] = [found.text for found in Translator.load(trained.model).translate([TEXT])]
    screen = Screen("translate", "--model", trained.model, columns=60)
    screen.read_until(lambda said: said.endswith("fr> "))
    wrong = TEXT.replace("chat", "chhat")
    back, delete, up = "\x1b[D", "\x7f", "\x1b[A"
    edited = screen.type(wrong + back * (len(wrong) - wrong.index("hat")) + delete + "\r")
    assert edited.splitlines()[-2] == answer
    assert screen.type(up + "\r").splitlines()[-2] == answer
    assert up not in screen.said
    said = screen.type("help\r")
    assert "translate help exit" in said
    assert "translate < FILE" in said
    assert max(len(line) for line in said.splitlines() if "/translator " not in line) < 60
    os.write(screen.end, b" exit \r")
    assert screen.finish()[-1] == ""


@pytest.mark.parametrize("end", ["exit", "", " exit\t"])
def test_words_of_the_prompt_are_not_translated(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    typed = iter(["help", TEXT, "Exit.", end, "never read"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit) as stopped:
        main(["translate", "--model", str(trained.model)])
    out, err = capsys.readouterr()
    assert (stopped.value.code, len(out.splitlines())) == (0, 2)
    assert "help and exit are words of this prompt" in err
    # As texts, they are translated.
    with pytest.raises(SystemExit):
        main(["translate", "--model", str(trained.model), "help", "exit"])
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (2, "")


def test_a_text_that_names_a_file_is_translated_with_a_note(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my letter.fr").write_text(f"{TEXT}\n", encoding="utf-8")
    for texts in (["my letter.fr", TEXT], ["my letter", "x" * 5000, "a\0b", "."]):
        with pytest.raises(SystemExit) as stopped:
            main(["translate", "--model", str(trained.model), *texts])
        out, err = capsys.readouterr()
        assert (stopped.value.code, len(out.splitlines())) == (0, len(texts))
        note = "my letter.fr is a file; its name is translated. To translate its lines: < 'my letter.fr'\n"
        assert err == (note if "my letter.fr" in texts else "")
