"""What is shown while something runs: on terminals of several widths, without colours, in a log."""

import io
import re
import shutil
import sys

import pytest
from rich.console import Console

from translator import console

#: The fields of a training's status when they are long.
FIELDS = ("104:59 left", "loss 2.115", "step 7,992", "epoch 22.0", "16,600 tokens/s")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use(
    monkeypatch: pytest.MonkeyPatch, file: io.StringIO, *, columns: int = 80, term: str = "xterm", **env: str
) -> io.StringIO:
    """Let messages go to `file`, as to a terminal or a log in this environment."""
    variables = {"TERM": term, "COLUMNS": str(columns), **env}
    monkeypatch.setattr(console, "_console", Console(file=file, _environ=variables, highlight=False))
    return file


def shown(text: str) -> list[str]:
    """The lines that a terminal would have shown, one after the other, without their colours."""
    lines = re.split(r"\r\x1b\[2K|\r|\n", text)
    return [line for line in (re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", line) for line in lines) if line.strip()]


@pytest.mark.parametrize(("columns", "n_fields"), [(60, 2), (80, 3), (120, 5)])
def test_a_progress_line_fits_the_terminal_with_a_bar(
    monkeypatch: pytest.MonkeyPatch, columns: int, n_fields: int
) -> None:
    terminal = use(monkeypatch, Terminal(), columns=columns)
    status = console.status(*FIELDS)
    assert status == " · ".join(FIELDS[:n_fields])
    with console.progress_bar() as bar:
        bar.update(bar.add_task("validating", total=1, status=""), completed=0.5, status=status, refresh=True)
    line = next(line for line in shown(terminal.getvalue()) if status in line)
    assert len(line.rstrip()) <= columns
    assert line.startswith("validating ")
    assert "…" not in line
    assert len(re.findall("[━╸╺]", line)) >= 9
    assert " 50% " in line
    # Control: all fields do not fit beside a bar, unless the terminal is wide.
    assert (len(" · ".join(FIELDS)) + 35 <= columns) == (n_fields == 5)


def test_a_tiny_terminal_has_no_status(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Terminal(), columns=10)
    assert console.status(*FIELDS) == ""


def test_without_colour_a_progress_line_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured, plain = use(monkeypatch, Terminal()), io.StringIO()
    for terminal, env in ((coloured, {}), (plain := Terminal(), {"NO_COLOR": "1"})):
        use(monkeypatch, terminal, **env)
        with console.progress_bar() as bar:
            bar.update(bar.add_task("training", total=1, status=""), completed=0.5, refresh=True)
    assert re.search(r"\x1b\[[\d;]+m", coloured.getvalue())  # control
    assert not re.search(r"\x1b\[[\d;]+m", plain.getvalue())
    assert "training" in plain.getvalue()


@pytest.mark.parametrize("term", ["xterm", "dumb"])
@pytest.mark.parametrize("is_file", [False, True])
def test_only_a_terminal_that_can_redraw_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, term: str, is_file: bool
) -> None:
    file = use(monkeypatch, io.StringIO() if is_file else Terminal(), term=term, FORCE_COLOR="1", columns=60)
    assert console.is_terminal() is (term == "xterm" and not is_file)
    if not console.is_terminal():  # whole lines, however wide the log or the terminal is
        assert console.status(*FIELDS) == " · ".join(FIELDS)
    console.note("a message")
    assert file.getvalue() == "a message\n"


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_who_waits_at_a_terminal_is_told_what_a_log_does_not_need(
    monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    terminal, log = use(monkeypatch, Terminal(), term=term), io.StringIO()
    console.note_on_terminal("preparing …")
    assert terminal.getvalue() == "preparing …\n"
    use(monkeypatch, log)
    console.note_on_terminal("preparing …")
    assert log.getvalue() == ""


def test_commands_to_try_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["my env/bin/translator", "train"])
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert console.program() == "translator"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert console.program() == "'my env/bin/translator'"
    assert console.program("tensorboard") == "'my env/bin/tensorboard'"
