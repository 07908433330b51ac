"""Blocks, their files, and what is not done again, in this process; with Ray itself where it is installed."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from phrases import run_command
from pyarrow import parquet, table

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import translate_with_ray

MODEL = Path(__file__).resolve().parents[1] / "fixtures" / "model_49b6f75"

#: A byte order mark first and later, both line endings, blank lines, invalid UTF-8, no ending at the end.
ODD = b"\xef\xbb\xbfLe chat dort.\r\n\n\xef\xbb\xbfUn mot.\nL\xff.\n\r\nIl travaille \xc3\xa0 Lyon."


class Blocks(list[Any]):
    """A data set of Ray's, in this process."""

    translated: list[str]  # names of the files

    def map(self, translator: type, *, fn_constructor_args: list[Any], **_: Any) -> "Blocks":
        translate = translator(*fn_constructor_args)
        Blocks.translated += [Path(translate(block)["output"]).name for block in self]
        return self

    def materialize(self) -> None:
        pass


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, data = ModuleType("ray"), ModuleType("ray.data")
    ray.__dict__["data"] = data
    data.__dict__["from_items"] = lambda items, override_num_blocks: Blocks(items)
    data.__dict__["ActorPoolStrategy"] = lambda size: None
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    Blocks.translated = []


def arguments(tmp_path: Path, *paths: Path, **options: Any) -> list[str]:
    options = {"model": MODEL, "output": tmp_path / "out", "beam": 1, "block-lines": 2, **options}
    return [
        *map(str, paths),
        *(str(part) for name, value in options.items() for part in (f"--{name}", value)),
    ]


def translate(monkeypatch: pytest.MonkeyPatch, arguments: list[str], tmp_path: Path) -> Path:
    """Run the script in this process, and return the folder of its blocks."""
    monkeypatch.setattr(sys, "argv", ["translate_with_ray.py", *arguments])
    before = {*tmp_path.glob("out/*")}
    translate_with_ray.main()
    after = {*tmp_path.glob("out/*")}
    return (after - before or after).pop()


def joined(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


@pytest.mark.slow
def test_the_lines_are_those_of_translate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.fr").write_bytes(ODD)
    expected = run_command("translate", "--model", MODEL, "--beam", "1", stdin=ODD).stdout
    folder = translate(monkeypatch, arguments(tmp_path, tmp_path / "a.fr"), tmp_path)
    assert joined(folder) == expected
    assert Blocks.translated == [f"000000{i}.txt" for i in range(3)]
    assert expected.count(b"\n") == 6


def test_finished_blocks_are_not_translated_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("a.fr", "b.fr"):
        (tmp_path / name).write_text("Le chat dort.\nUn mot.\nOui.\n", encoding="utf-8")
    command = arguments(tmp_path, tmp_path / "a.fr", tmp_path / "b.fr")
    folder = translate(monkeypatch, command, tmp_path)
    whole = joined(folder)
    (folder / "0000001.txt").unlink()
    (folder / "0000002.txt").rename(folder / ".0000002.txt-0123abcd")  # as a killed process leaves it
    Blocks.translated = []
    translate(monkeypatch, command, tmp_path)
    assert Blocks.translated == ["0000001.txt", "0000002.txt"]
    (folder / ".0000002.txt-0123abcd").unlink()
    assert joined(folder) == whole


@pytest.mark.parametrize("option", [{"beam": 2}, {"block-lines": 3}, {"column": "de"}, {}])
def test_another_input_or_setting_has_another_folder(
    option: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.fr").write_text("Le chat dort.\n", encoding="utf-8")
    first = translate(monkeypatch, arguments(tmp_path, tmp_path / "a.fr"), tmp_path)
    if not option:
        (tmp_path / "a.fr").write_text("Le chien dort.\n", encoding="utf-8")
    assert translate(monkeypatch, arguments(tmp_path, tmp_path / "a.fr", **option), tmp_path) != first


def test_parquet_keeps_its_rows_and_gets_a_column(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = ["Le chat dort.", None, "Un mot.\nOui.", "Non.", "Oui."]
    parquet.write_table(table({"id": range(5), "text": texts}), tmp_path / "a.parquet", row_group_size=3)
    folder = translate(monkeypatch, arguments(tmp_path, tmp_path / "a.parquet", column="text"), tmp_path)
    assert Blocks.translated == [f"000000{i}.parquet" for i in range(3)]  # of 2, 1 and 2 rows
    found = parquet.read_table(folder).to_pydict()
    assert (found["id"], found["text"]) == (list(range(5)), texts)
    assert [text.count("\n") for text in found["translation"]] == [0, 0, 1, 0, 0]
    assert [bool(text) for text in found["translation"]] == [True, False, True, True, True]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"model": "nowhere"}, "error: nowhere: not a model folder"),
        ({"precision": "float3"}, "error: precision 'float3' is not one of"),
        ({"column": "text"}, "error: a.parquet has no column 'text'; it has fr"),
        ({"beam": 2, "path": "none.fr"}, "error: [Errno 2] No such file or directory: 'none.fr'"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line(
    option: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    parquet.write_table(table({"fr": ["Oui."]}), "a.parquet")
    path = option.pop("path", "a.parquet")
    with pytest.raises(SystemExit, match=r"^1$"):
        translate(monkeypatch, arguments(tmp_path, Path(path), **option), tmp_path)
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


@pytest.mark.slow
def test_with_ray_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    pytest.importorskip("ray")
    (tmp_path / "a.fr").write_bytes(ODD * 3)
    script = [sys.executable, translate_with_ray.__file__, *arguments(tmp_path, tmp_path / "a.fr", workers=1)]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    expected = run_command("translate", "--model", MODEL, "--beam", "1", stdin=ODD * 3).stdout
    assert joined(Path(done.stdout.strip())) == expected
