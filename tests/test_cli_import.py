"""`translator import` says what a file is, and what it prints is a configuration that trains."""

import os
import sys
from pathlib import Path

import pytest

from translator.cli import importing, main
from translator.config import Config
from translator.config.file import load_config

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from people_files import PAIRS, csv_of_french_excel, moses, tmx_of_a_tool, xlsx

OWN = Path(__file__).resolve().parents[1] / "configs/my-corpus.yaml"


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
    assert comments[:4] == [
        f"# {path} is a table in cp1252 of 2 columns, separated by semicolons",
        "# column 'Français' is fr, because it is named so",
        "# column 'Anglais' is en, because it is named so",
        "# 16 pairs; the first ones:",
    ]
    assert comments[4:14] == [line for fr, en in PAIRS[:5] for line in (f"#   fr: {fr}", f"#   en: {en}")]
    (tmp_path / "printed.yaml").write_text(out)
    own = load_config(tmp_path / "printed.yaml").data.sources[0]
    assert (own.name, own.format, own.encoding, own.delimiter) == ("classeur", "csv", "cp1252", "semicolon")
    assert own.held_out == {"val": 1, "test": 1}


def imported(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Config:
    """Return the configuration that `import` writes."""
    written = tmp_path / "imported.yaml"
    written.unlink(missing_ok=True)
    code, _, err = run(capsys, "import", *arguments, "--output", written)
    assert (code, err) == (0, "")
    return load_config(written)


def test_what_is_written_is_like_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, example = imported(tmp_path, capsys, *csv_of_french_excel(tmp_path).paths), load_config(OWN)
    assert (config.tokenizer, config.model, config.train) == (
        example.tokenizer,
        example.model,
        example.train,
    )
    for mixed in (config, example):
        assert [source.weight for source in mixed.data.sources] == [1, 3]
        assert mixed.data.sources[1].format == "phrasebook"


def test_each_corpus_becomes_a_source_of_the_same_weight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more").mkdir()
    paths = [*moses(tmp_path).paths, *tmx_of_a_tool(tmp_path).paths, *moses(tmp_path / "more").paths]
    paths = [*sorted(paths, key=lambda path: path.suffix), *xlsx(tmp_path).paths]
    data = imported(tmp_path, capsys, *paths).data
    assert [(source.name, source.format, source.weight) for source in data.sources] == [
        ("memory", "tmx", 1.0),
        ("glossary", "xlsx", 1.0),
        ("Books", "text", 1.0),
        ("Books-2", "text", 1.0),
        ("phrasebook", "phrasebook", 12.0),
    ]
    assert data.sources[3].files == {
        "train": {language: f"{tmp_path}/more/Books.en-fr.{language}" for language in ("fr", "en")}
    }


def test_the_phrasebook_is_mixed_into_small_corpora_of_its_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("fr\ten\tde\nun\tone\teins\n")

    def sources(*arguments: str) -> list[str]:
        return [source.name for source in imported(tmp_path, capsys, path, *arguments).data.sources]

    assert sources() == ["a", "phrasebook"]
    assert sources("--source-language", "en", "--target-language", "fr") == ["a", "phrasebook"]
    assert sources("--source-language", "de") == ["a"]
    monkeypatch.setattr(importing, "SMALL", 1)
    assert imported(tmp_path, capsys, path).data.sources[1].weight == 0.5
    monkeypatch.setattr(importing, "MIXED_BELOW", 1)
    assert sources() == ["a"]


@pytest.mark.parametrize(("language", "problem"), [("e n", "does not fit"), ("fr", "are both 'fr'")])
def test_languages_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str, problem: str
) -> None:
    code, out, err = run(capsys, "import", *tmx_of_a_tool(tmp_path).paths, "--target-language", language)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert problem in err


def test_a_configuration_is_written_to_a_new_file_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = moses(tmp_path).paths
    written = tmp_path / "new.yaml"
    code, out, _ = run(capsys, "import", *paths, "--output", written)
    assert (code, out.splitlines()[-1]) == (0, f"configuration: {written}")
    assert f"{tmp_path}/Books.en-fr.fr is fr, because it is named so; it is in utf-8" in out.splitlines()
    before = written.read_bytes()
    for existing in (written, paths[0]):
        code, out, err = run(capsys, "import", *paths, "--output", existing)
        assert (code, out) == (2, "")
        assert err == f"error: --output {existing}: it exists already; name a new file\n"
    assert written.read_bytes() == before


def test_splits_that_are_there_are_not_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.tsv").write_text("fr\ten\n" + "un\tone\n" * 20)
    source = imported(tmp_path, capsys, tmp_path / "train.tsv", tmp_path / "test.tsv").data.sources[0]
    assert (list(source.files), source.held_out) == (["train", "test"], {"val": 2})


def test_a_pipe_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, out, err = run(capsys, "import", tmp_path / "pipe")
    assert (code, out) == (1, "")
    message = "is a pipe or a device; write it to a file first, and name that"
    assert err == f"error: {tmp_path}/pipe {message}\n"


def test_unprintable_characters_are_shown_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tsv").write_text("fr\ten\nun\u00a0!\tone\x01\x85\u2028\x1b[0m\n")
    code, out, err = run(capsys, "import", tmp_path / "a.tsv")
    assert (code, err) == (0, "")
    assert "#   en: one\\x01\\x85\\u2028\\x1b[0m\n" in out
    (tmp_path / "printed.yaml").write_text(out)
    assert load_config(tmp_path / "printed.yaml").data.sources[0].name == "a"


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
            "{path}: it cannot be told which text is fr and which en; name them so in the header",
        ),
        ("a.pdf", b"%PDF-1.7", "{path} is a PDF document; save its text as UTF-8, and name that file"),
        ("a.tmx", b"<tmx><body><tu>", "{path}:1: not valid XML"),
        (
            "a.xlf",
            b"<xliff version='2.0'><file><unit/></file></xliff>",
            "{path} is an XLIFF 2 file; save it as XLIFF 1.2 or TMX",
        ),
        (
            "a.po",
            b'msgid "a"\nmsgstr "b\n',
            '{path}: not a valid PO file: the quote in msgstr "b is never closed',
        ),
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
def test_what_was_imported_trains(
    tmp_path: Path, tiny_corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`scripts/try_formats.py` trains on a file of each kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importing, "MIXED_BELOW", 1)
    texts = [tiny_corpus / f"train.{language}" for language in ("fr", "en")]
    code, out, err = run(
        capsys, "import", *csv_of_french_excel(tmp_path).paths, *texts, "--output", "own.yaml"
    )
    assert code == 0, err
    small = ("train.max_minutes=null", "search.beam_size=1", "search.max_length_ratio=0.1")
    code, out, err = run(capsys, "train", "own.yaml", "train.max_steps=5", "hardware.replicas=1", *small)
    assert code == 0, err
    assert (tmp_path / "runs/own/model/manifest.json").is_file()
    assert all(f"\n  {name}: BLEU" in out for name in ("classeur", "train"))
