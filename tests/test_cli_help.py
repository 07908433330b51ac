"""The help of each subcommand, on narrow terminals too."""

import re
import shlex

import pytest
from typer.main import get_command

from translator.cli import COMMANDS, app, main
from translator.cli.help import EXAMPLES


def help_of(
    *verb: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as stopped:
        main([*verb, "--help"])
    out, err = capsys.readouterr()
    assert (stopped.value.code, err) == (0, "")
    return out


@pytest.mark.parametrize("columns", [60, 80])
def test_help_is_never_cut_and_fits_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ([], *([name] for name in COMMANDS)):
        text = help_of(*verb, columns=columns, monkeypatch=monkeypatch, capsys=capsys)
        assert "..." not in text.replace("[ARGS]...", ""), verb
        assert max(map(len, text.splitlines())) < columns, verb
    listed = help_of(columns=columns, monkeypatch=monkeypatch, capsys=capsys)
    for name, command in COMMANDS.items():  # the whole first sentence, however it is wrapped
        summary = str(command.__doc__).partition("\n\n")[0].replace("-", "- ").split()
        assert " ".join(summary) in " ".join(listed.replace("-", "- ").split()), name


def test_help_names_values_by_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in COMMANDS:
        text = help_of(name, columns=80, monkeypatch=monkeypatch, capsys=capsys)
        text = text[: text.index("\nExample:")]
        assert re.findall(r"<[\w\[]|<=|=>|list\[|\brange\b", text) == [], name
    usage = help_of("train", columns=80, monkeypatch=monkeypatch, capsys=capsys).splitlines()[0]
    assert usage.endswith(" train [OPTIONS] CONFIG [KEY=VALUE …]")
    text = help_of("translate", columns=80, monkeypatch=monkeypatch, capsys=capsys)
    assert "--n-best N " in text
    assert "[default: 1; 1 to 1000]" in " ".join(text.split())


def test_each_verb_has_an_example_that_it_accepts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(EXAMPLES) == list(COMMANDS)
    group = get_command(app)
    for name, (purpose, example) in EXAMPLES.items():
        for columns in (60, 80):
            text = help_of(name, columns=columns, monkeypatch=monkeypatch, capsys=capsys)
            shown = text[text.index("\nExample:\n") :]
            assert " ".join(purpose.split()) in " ".join(shown.split()), name
            for line in example.splitlines():
                assert f"  {line}\n" in shown, name
        program, verb, *words = shlex.split(example.replace("\\\n", " ").partition(" < ")[0])
        assert (program, verb) == ("translator", name)
        group.commands[verb].make_context(verb, words)  # type: ignore[attr-defined]
