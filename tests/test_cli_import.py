"""`translator import` says what a file is, and what it prints is a configuration that trains."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "data"))
from people_files import FILES, PAIRS, People, csv_of_french_excel, moses, tmx_of_a_tool

from translator.cli import main
from translator.config.file import load_config


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


def test_what_is_printed_is_a_configuration_with_the_reasons_as_comments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = csv_of_french_excel(tmp_path).paths[0]
    code, out, err = run(capsys, "import", path)
    assert (code, err) == (0, "")
    comments = [line for line in out.splitlines() if line.startswith("#")]
    assert comments[:5] == [
        f"# {path} is a table of 2 columns, separated by semicolons",
        "# its encoding is cp1252: 13 lines are not valid UTF-8, and cp1252 has most of their letters in "
        "French",
        "# column 'Français' is fr, because it is named so",
        "# column 'Anglais' is en, because it is named so",
        "# 16 pairs; the first ones:",
    ]
    assert comments[5:15] == [line for fr, en in PAIRS[:5] for line in (f"#   fr: {fr}", f"#   en: {en}")]
    (tmp_path / "printed.yaml").write_text(out)
    config = load_config(tmp_path / "printed.yaml")
    assert (config.data.format, config.data.encoding, config.data.delimiter) == ("csv", "cp1252", "semicolon")
    assert config.data.held_out == {"val": 1, "test": 1}


def test_a_configuration_is_written_to_a_new_file_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = moses(tmp_path).paths
    written = tmp_path / "new.yaml"
    code, out, _ = run(capsys, "import", *paths, "--output", written)
    assert (code, out.splitlines()[-1]) == (0, f"configuration: {written}")
    assert f"{tmp_path}/Books.en-fr.fr is fr, because it is named so" in out.splitlines()
    assert load_config(written).data.files == {"train": f"{tmp_path}/Books.en-fr.{{lang}}"}
    before = written.read_bytes()
    for existing in (written, paths[0]):
        code, out, err = run(capsys, "import", *paths, "--output", existing)
        assert (code, out) == (2, "")
        assert err == f"error: --output {existing}: it exists already; name a new file\n"
    assert written.read_bytes() == before


def test_what_is_left_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "import", *tmx_of_a_tool(tmp_path).paths)
    assert (
        code,
        out.count("\n# left out: malformed: a side is missing, null or not text: 1 (lines 24)"),
    ) == (0, 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.txt",
            b"Bonjour\nSalut\n",
            "{path} has one column, or none; give the file of the other language, too",
        ),
        ("a.txt", b"", "{path} has one column, or none; give the file of the other language, too"),
        (
            "a.csv",
            b"x,y\nabc,def\n",
            "it cannot be told which text is fr and which en; name them so in the header",
        ),
        ("a.pdf", b"%PDF-1.7", "{path} is a PDF document; save its text as UTF-8, and name that file"),
        ("a.tmx", b"<tmx><body><tu>", "{path}:1: not valid XML"),
        (
            "a.xlf",
            b"<xliff version='2.0'><file><unit/></file></xliff>",
            "{path} is XLIFF 2, and XLIFF 1.2 is read",
        ),
        ("a.po", b'msgid "a"\nmsgstr "b\n', "{path}:2: the quote opened here is never closed"),
        ("a.xlsx", b"PK\x05\x06" + bytes(18), "{path} is an empty zip archive; fetch it again"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    code, out, err = run(capsys, "import", path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {message.format(path=path)}")


@pytest.mark.slow
@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
def test_what_was_imported_trains(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], People],
) -> None:
    monkeypatch.chdir(tmp_path)
    people = make(tmp_path)
    assert run(capsys, "import", *people.paths, "--output", "own.yaml")[0] == 0
    small = ("model.width=32", "model.n_heads=2", "model.feed_forward=32", "hardware.replicas=1")
    code, _, err = run(capsys, "train", "own.yaml", "train.max_steps=5", *small)
    assert code == 0, err
    assert (tmp_path / "runs/own/model/manifest.json").is_file()
