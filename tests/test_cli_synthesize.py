"""`translator synthesize` writes a table that `data.sources` reads, whole or not at all."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from phrases import Trained, write_phrases

from translator import Translator
from translator.cli import main
from translator.config import DataConfig
from translator.data import corpus
from translator.model_folder import load_model_folder
from translator.translation import synthesis
from translator.translation.joining import Translation

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """A function `(*arguments) -> (exit code, stdout, stderr)`, in the folder `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return (int(stopped.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def synthesize(run: Run, trained: Trained, tmp_path: Path) -> Callable[..., list[list[str]]]:
    """A function `(text, *options)` that returns the rows of the table that is written for a text."""

    def call(text: str | bytes, *options: str) -> list[list[str]]:
        (tmp_path / "text").write_bytes(text if isinstance(text, bytes) else text.encode())
        (tmp_path / "new.tsv").unlink(missing_ok=True)
        code, out, err = run("synthesize", "text", "--model", trained.model, "--output", "new.tsv", *options)
        assert (code, out) == (0, ""), err
        (tmp_path / "note").write_text(err)
        table = (tmp_path / "new.tsv").read_bytes().decode()
        assert table.endswith("\n")
        return [line.split("\t") for line in table[:-1].split("\n")]

    return call


Synthesize = Callable[..., list[list[str]]]


def answer(monkeypatch: pytest.MonkeyPatch, **answers: tuple[str, float]) -> None:
    """Replace the model: a text has a given translation and score."""

    def translations(translator: Translator, texts: list[str], **_: object) -> list[Translation]:
        return [Translation(text, *answers.get(text.strip(), ("", 0.0)), (), 1) for text in texts]

    monkeypatch.setattr(synthesis, "synthesize", translations)


def test_the_table_has_translations_and_lines_in_order(
    synthesize: Synthesize, trained: Trained, tmp_path: Path
) -> None:
    lines = [*trained.lines("test.fr"), 'La « reine » dit "oui", d\'accord ?']
    rows = synthesize("\n".join(lines), "--batch-size", "1")  # two groups of lines
    found = Translator.load(trained.model).translate(lines)
    assert rows == [["en", "fr"], *([each.text, line] for each, line in zip(found, lines, strict=True))]
    assert (tmp_path / "note").read_text() == (
        "new.tsv: 11 of 11 lines; left out: 0 blank, malformed or with an empty translation, 0 improbable\n"
    )


@pytest.mark.parametrize("option", [(), ("--sample",)])
def test_a_source_reads_the_table_without_further_keys(
    synthesize: Synthesize, tmp_path: Path, option: tuple[str, ...]
) -> None:
    lines = ['"Oui !', "\ufeffLe\tchat\u2028dort", "sep=;", "La reine \r chante\r", "#", " x ", "'\"\"'"]
    rows = synthesize("Ma sœur.\n" + "\n".join(lines) + "\n\n \t\n", *option)
    expected = [
        "Ma sœur.",
        '"Oui !',
        "\ufeffLe chat\u2028dort",
        "sep=;",
        "La reine   chante",
        "#",
        "x",
        "'\"\"'",
    ]
    assert [row[1] for row in rows[1:]] == expected
    assert "8 of 10 lines; left out: 2 blank" in (tmp_path / "note").read_text()
    source = {"name": "synthetic", "weight": 0.5, "format": "tsv", "files": {"train": "new.tsv"}}
    config = DataConfig.model_validate(
        {"source_language": "en", "target_language": "fr", "cache": "cache", "input_map": None}
        | {"sources": (source,)}
    )
    table = corpus.open_split(config, "train", seed=1)
    assert [[row["source"], row["target"]] for row in table] == rows[1:]


def test_separators_in_translations_become_spaces_and_empty_ones_are_left_out(
    synthesize: Synthesize, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer(monkeypatch, a=("x\ty\r\nz\n", -1.0), b=(" \t ", -1.0), c=("w", -1.0))
    assert synthesize("a\nb\nc\n\n") == [["en", "fr"], ["x y z", "a"], ["w", "c"]]
    assert "2 of 4 lines; left out: 2 blank, malformed" in (tmp_path / "note").read_text()


def test_lines_that_are_no_utf8_are_left_out(synthesize: Synthesize, tmp_path: Path) -> None:
    rows = synthesize(b"La reine dort.\ncaf\xe9\nLe chat dort.\n")
    assert [row[1] for row in rows[1:]] == ["La reine dort.", "Le chat dort."]
    assert "2 of 3 lines; left out: 1 blank, malformed" in (tmp_path / "note").read_text()


@pytest.mark.parametrize(
    ("keep", "kept"), [("1", "abcde"), ("0.8", "abde"), ("0.4", "ad"), ("0.2", "a"), ("1e-9", "a")]
)
def test_the_most_probable_are_kept_in_order(
    synthesize: Synthesize, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keep: str, kept: str
) -> None:
    scores = {"a": -0.1, "b": -0.5, "c": -3.0, "d": -0.1, "e": -2.0}
    answer(monkeypatch, **{name: (name.upper(), score) for name, score in scores.items()})
    rows = synthesize("a\nb\n\nc\nd\ne\n", "--keep", keep)
    assert rows[1:] == [[name.upper(), name] for name in kept]
    note = (
        f"{len(kept)} of 6 lines; left out: 1 blank, malformed or with an empty translation, {5 - len(kept)} "
    )
    assert note in (tmp_path / "note").read_text()


def test_samples_are_those_of_their_seed(synthesize: Synthesize, trained: Trained) -> None:
    text = "\n".join(trained.lines("test.fr"))
    first = synthesize(text, "--sample")
    assert synthesize(text, "--sample", "--batch-size", "1") == first  # several groups of lines
    assert synthesize(text, "--sample", "--seed", "1") == first
    assert synthesize(text, "--sample", "--seed", "2") != first
    assert synthesize(text) != first


def test_standard_input_is_read_if_there_is_no_file(
    run: Run, trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stdin").write_bytes(b"La reine dort.\n\xe9\nLe chat dort.")
    with (tmp_path / "stdin").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        code, out, err = run("synthesize", "--model", trained.model, "--output", "new.tsv")
    assert (code, out) == (0, "")
    assert "2 of 3 lines" in err
    rows = (tmp_path / "new.tsv").read_text().splitlines()
    assert [row.split("\t")[1] for row in rows] == ["fr", "La reine dort.", "Le chat dort."]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--output", "text"), 2, "--output text: it exists already; name a new file"),
        (("--output", "link"), 2, "--output link: it exists already; name a new file"),
        (("--output", "none/new.tsv"), 1, "--output none/new.tsv: there is no folder none; create it first"),
        (("--sample", "--beam", "2"), 2, "--sample does not search with a beam; leave out --beam"),
        (
            ("--sample", "--precision", "int8"),
            2,
            "PyTorch computes in float32 on a CPU; leave out --precision int8",
        ),
        (("--keep", "0"), 2, "--keep 0.0 is not a fraction; give a number above 0 and at most 1"),
        (("--keep", "nan"), 2, "--keep nan is not a fraction; give a number above 0 and at most 1"),
        (("--model", "none"), 1, "none"),
        (("none.txt",), 2, "none.txt"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    run: Run, trained: Trained, tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "text").write_text("La reine dort.\n")
    (tmp_path / "link").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    arguments = ["synthesize", "text", "--output", "new.tsv", "--model", trained.model, *options]
    found, out, err = run(*arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert err.startswith("error: ")
    assert message in err
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "text").read_text() == "La reine dort.\n"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none", "none: there is no such file"),
        (".", ".: this is a folder"),
        ("blank", "blank: no line has text"),
    ],
)
def test_input_that_is_none(run: Run, trained: Trained, tmp_path: Path, file: str, message: str) -> None:
    (tmp_path / "blank").write_text("\n \n")
    code, out, err = run("synthesize", file, "--model", trained.model, "--output", "new.tsv")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message}")
    assert [path.name for path in tmp_path.iterdir()] == ["blank"]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, ""),
        (
            OSError(28, "No space left on device"),
            1,
            "error: --output new.tsv: cannot be written: No space left on device; name another file\n",
        ),
    ],
)
def test_nothing_is_left_of_a_table_that_is_not_finished(
    run: Run,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    message: str,
) -> None:
    (tmp_path / "text").write_text("La reine dort.\n")
    written = []

    def fail(handle: int) -> None:
        written.append(os.fstat(handle).st_size)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        found = run("synthesize", "text", "--model", trained.model, "--output", "new.tsv")
    assert written[0] > 20  # the table was on its way
    assert found == (code, "", message)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


# --- The recipe ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_three_commands_of_the_recipe(run: Run, tmp_path: Path) -> None:
    """With the pages' own commands and YAML; the embedded corpus, which takes long, is left out."""
    page = (ROOT / "docs" / "back-translation.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ translator (.*)$", page, re.MULTILINE)
    assert [each.split()[0] for each in commands] == ["train", "synthesize", "train"]
    [entry] = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    config = (ROOT / "configs" / "my-corpus.yaml").read_text(encoding="utf-8")
    sources, phrasebook = re.subn(r"    - name: phrasebook.*?\n#\n", "", config, flags=re.DOTALL)
    assert phrasebook == 1
    write_phrases(tmp_path)
    (tmp_path / "corpus").rename("data")
    for language in ("fr", "en"):
        Path(f"data/train.{language}").rename(f"data/my-corpus.{language}")
    english = Path("data/val.en").read_text() + Path("data/test.en").read_text()
    Path("data/english.txt").write_text(english)
    Path("configs").mkdir()
    at = re.search(r"^# To train English to French", sources, re.MULTILINE)
    assert at
    small = (
        *("data.sources.0.held_out={val: 10, test: 10}", "tokenizer.vocabulary_size=400"),
        *("train.max_minutes=null", "train.max_steps=40", "train.max_tokens_per_batch=512"),
        *("validation.every_steps=40", "train.warmup_steps=10", "model.dropout=0", "model.width=48"),
    )
    for command, text in zip(commands, (sources, "", sources[: at.start()] + entry), strict=True):
        if text:
            Path("configs/my-corpus.yaml").write_text(text)
        arguments = command.split()
        code, _, err = run(*arguments, *(small if arguments[0] == "train" else ()))
        assert code == 0, err
        if arguments[0] == "synthesize":
            assert "20 of 20 lines" in err
    rows = [line.split("\t") for line in Path("data/synthetic.tsv").read_text().splitlines()]
    assert [row[1] for row in rows] == ["en", *english.splitlines()]
    reverse, more = (load_model_folder(Path("runs") / name / "model") for name in ("reverse", "more"))
    assert (reverse.config.data.source_language, more.config.data.source_language) == ("en", "fr")
    report = more.manifest["data_report"]["sources"]
    assert {name: each["n_pairs"] for name, each in report.items()} == {"mine": 110, "synthetic": 20}
