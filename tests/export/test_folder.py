"""The command `export` writes a complete folder, or none and one clear line."""

import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from phrases import Trained, environment

import translator.export
from translator import Translator
from translator.cli import main
from translator.data import phrasebook
from translator.data.input_map import map_input
from translator.data.tokenizer import Tokenizer
from translator.export import check as checking
from translator.export import to_ctranslate2
from translator.export.folder import lines_to_check
from translator.model_folder import MANIFEST

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = (
    (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text(encoding="utf-8").split("\n## ")[0]
)
FILES = ["config.json", "model.bin", "passerelle.json", "shared_vocabulary.json", "tokenizer.model"]


@pytest.fixture
def model(learnt: Callable[[str, str], Path]) -> Path:
    return learnt("pre", "relu")


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[str], list[str]]:
    """Run `translator export`: exit code, lines of stdout, lines of stderr."""
    with pytest.raises(SystemExit) as stopped:
        main(["export", *map(str, arguments)])
    assert isinstance(stopped.value.code, int)
    said = capsys.readouterr()
    return stopped.value.code, said.out.splitlines(), said.err.splitlines()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 1) -> str:
    found, out, err = run(capsys, *arguments)
    assert (found, out, len(err)) == (code, [], 1)
    assert err[0].startswith("error: ")
    return err[0]


def corpus(trained: Trained) -> tuple[str | Path, ...]:
    folder = trained.root / "corpus"
    return "--check", folder / "test.fr", "--check-references", folder / "test.en"


def test_a_whole_folder(
    trained: Trained, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, said, err = run(capsys, out, "--model", model, "--format", "ctranslate2", *corpus(trained))
    assert (code, err) == (0, [])
    assert said[0] == "greedy: 10 of 10 lines identical, 0 close calls"
    assert re.fullmatch(r"beam 5: \d+ of 10 lines identical, BLEU \d+\.\d\d, exported \d+\.\d\d", said[1])
    assert said[2:] == [f"exported: {out}"]
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "tokenizer.model").read_bytes() == (model / "tokenizer.model").read_bytes()
    about = json.loads((out / "passerelle.json").read_text(encoding="utf-8"))
    manifest = json.loads((model / MANIFEST).read_text())
    assert about["model"]["name"] == "pre-relu/model"
    assert about["model"]["sha256"] == manifest["sha256"]
    assert about["check"]["n_lines"] == 10
    assert about["translate_batch"]["beam_size"] == 3
    assert ["<pad>"] in about["translate_batch"]["suppress_sequences"]


@pytest.mark.slow
def test_lines_of_the_phrasebook_by_default(
    trained: Trained, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, err = run(capsys, tmp_path / "out", "--model", model)
    assert (code, err) == (0, [])
    assert re.fullmatch(r"greedy: \d+ of 300 lines identical, \d close calls", said[0])


@pytest.mark.parametrize(("language", "line"), [("fr", 0), ("en", 1), ("de", 0)])
def test_those_lines_are_in_the_source_language(tmp_path: Path, language: str, line: int) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"format_version": 1, "source_language": language}))
    lines = lines_to_check(tmp_path)
    assert len(lines) == 300
    assert lines[0] == list(next(phrasebook.pairs("challenge")).values())[line]


def break_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    right = to_ctranslate2.sinusoids
    monkeypatch.setattr(
        to_ctranslate2, "sinusoids", lambda *shape, **base: right(*shape, **base).flip(1).contiguous()
    )


def break_beam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "bleu", lambda texts, references, scores=[10.0, 10.2]: scores.pop())


@pytest.mark.parametrize(
    ("bring_about", "said"),
    [(break_positions, " becomes "), (break_beam, "BLEU 10.00 instead of 10.20")],
)
def test_an_export_that_translates_otherwise_is_not_written(
    trained: Trained,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    bring_about: object,
    said: str,
) -> None:
    assert callable(bring_about)
    bring_about(monkeypatch)
    line = refusal(capsys, tmp_path / "out", "--model", model, *corpus(trained))
    assert said in line
    assert "nothing was written" in line
    assert list(tmp_path.iterdir()) == []


def test_interrupted_in_the_middle_leaves_nothing(
    trained: Trained,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr("translator.export.folder.check", interrupt)
    assert run(capsys, tmp_path / "out", "--model", model)[:2] == (130, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_a_place_that_is_taken(
    trained: Trained, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("kept")
    elif kind == "folder":
        out.mkdir()
    else:
        out.symlink_to(tmp_path / "nowhere")
    before = out.lstat()
    line = refusal(capsys, out, "--model", model)
    assert f"{out}: exists already" in line
    after = out.lstat()  # looking at a link changes the time it was last read
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert list(tmp_path.iterdir()) == [out]


def test_no_folder_to_write_into(
    trained: Trained, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, tmp_path / "no" / "out", "--model", model)
    assert f"there is no folder {tmp_path / 'no'}" in line


def test_without_ctranslate2(
    trained: Trained,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.delitem(sys.modules, "translator.export.to_ctranslate2")
    monkeypatch.delattr(translator.export, "to_ctranslate2")
    line = refusal(capsys, tmp_path / "out", "--model", model)
    assert line.endswith("pip install 'passerelle[export]'")
    assert list(tmp_path.iterdir()) == []


def test_arguments_that_do_not_go_together(
    trained: Trained, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.en").write_text("The cat.\n" * 7)
    own, out = ("--model", model), tmp_path / "out"
    assert "--check" in refusal(capsys, out, *own, "--check-references", tmp_path / "short.en", code=2)
    assert "onnx" in refusal(capsys, out, *own, "--format", "onnx", code=2)
    assert "short.en has 7" in refusal(
        capsys, out, *own, *corpus(trained)[:2], "--check-references", tmp_path / "short.en"
    )
    (tmp_path / "blank").write_text("\n \n")
    assert "no text" in refusal(capsys, out, *own, "--check", tmp_path / "blank")
    assert not out.exists()


def test_the_example_of_the_readme(
    trained: Trained, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    [name] = re.findall(r"`translator export (\w+)`", PAGE)
    assert run(capsys, tmp_path / name, "--model", model, *corpus(trained))[0] == 0
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    [text] = re.findall(r'print\(translate\("(.+?)"', example)
    assert done.stdout == f"{Translator.load(model).translate(text).text}\n"


@pytest.fixture
def example(
    trained: Trained,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], dict[str, Any]]:
    """Runs the page's example beside an exported model; what it defines."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert run(capsys, tmp_path / "exported", "--model", model, *corpus(trained))[0] == 0
    monkeypatch.chdir(tmp_path)

    def defined() -> dict[str, Any]:
        namespace: dict[str, Any] = {}
        exec(code, namespace)
        return namespace

    return defined


def test_what_people_type_is_translated_alike_by_the_example(
    trained: Trained, model: Path, example: Callable[[], dict[str, Any]]
) -> None:
    plain = [map_input(line) for line in [*trained.lines("test.fr"), *trained.lines("val.fr")]]
    typed = [f"\ufeff{unicodedata.normalize('NFD', line)}\u200b" for line in plain]
    typed = [line.replace("'", "’").replace(" ", "\u00a0", 1).replace(" ", "\t") for line in typed]
    ours = [found.text for found in Translator.load(model).translate(plain)]
    assert [*map(example()["translate"], [*typed, "\u200b\u00a0"])] == [*ours, ""]
    about = json.loads(Path("exported/passerelle.json").read_text(encoding="utf-8"))
    assert about["input_map"]["version"] == 1
    about["input_map"]["replace"] = []  # the control: as a model from before the map has it
    Path("exported/passerelle.json").write_text(json.dumps(about), encoding="utf-8")
    assert [*map(example()["translate"], typed)] != ours


def test_the_pages_example_reads_capitals_as_we_do(
    model: Path, example: Callable[[], dict[str, Any]]
) -> None:
    namespace, read = example(), list[str]()

    def translate_batch(sources: list[list[str]], **_: object) -> list[SimpleNamespace]:
        read[:] = sources[0]
        return [SimpleNamespace(hypotheses=sources)]  # it comes back as it went in

    namespace["translator"] = SimpleNamespace(translate_batch=translate_batch)
    tokenizer = Tokenizer.load(model / "tokenizer.model")
    for line in ("LE CHAT DORT À L'OMBRE.", "Le chat DORT.", "3,50 €", "STRAẞE", "A", "ℝ"):
        assert namespace["translate"](line) == line
        assert read == tokenizer.pieces(tokenizer.encode(line))


def test_a_place_that_cannot_be_written_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**_: object) -> None:
        raise OSError(30, "Read-only file system", str(tmp_path / ".out-1234"))

    monkeypatch.setattr("tempfile.TemporaryDirectory", read_only)
    line = refusal(capsys, tmp_path / "out", "--model", model)
    assert line == f"error: {tmp_path / 'out'}: cannot be written: Read-only file system; give another folder"
