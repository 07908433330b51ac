"""docs/adding-an-option.md: its changes apply, its tests then pass, and each of the changes is needed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from forked import run_forked

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "adding-an-option.md").read_text(encoding="utf-8")

#: A file's name at the start of a paragraph, or a block of changes to it.
PARTS = re.compile(r"^`([\w/.]+\.py)`: |^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def changes() -> list[tuple[str, str, str]]:
    """Every block: the file, and its lines before and after."""
    found, file = [], ""
    for name, block in PARTS.findall(TEXT):
        file = name or file
        if block:
            lines = block.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] in " -")
            after = "".join(line[1:] for line in lines if line[0] in " +")
            found.append((file, before, after))
    return found


@pytest.mark.parametrize(("file", "before", "after"), changes())
def test_a_change_applies_in_one_place(file: str, before: str, after: str) -> None:
    assert before.strip()
    assert before != after
    assert (ROOT / file).read_text(encoding="utf-8").count(before) == 1


def test_every_place_is_changed() -> None:
    places = {file.rpartition("/")[2] for file, *_ in changes()}
    engines = {"training.py", "native_decoding.py"}
    rest = {"sections.py", "building.py", "model_folder.py", "layers.py", "to_ctranslate2.py", "parity.py"}
    assert places == engines | rest


def copy_with_changes(folder: Path, leave_out: str = "") -> None:
    """Copy the package and the parity harness, and apply all changes except those to one file."""
    ignored = shutil.ignore_patterns("__pycache__", "phrasebook")
    shutil.copytree(ROOT / "translator", folder / "translator", ignore=ignored)
    (folder / "tests" / "engine").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "engine" / "parity.py", folder / "tests" / "engine")
    for file, before, after in changes():
        if file != leave_out:
            path = folder / file
            path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    [test] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    (folder / "tests" / "engine" / "test_gates.py").write_text(test, encoding="utf-8")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    return run_forked([sys.executable, *arguments], cwd=folder, env=variables, text=True)


TEST = ("-m", "pytest", "-q", "-c", os.devnull, "--rootdir=.", "-p", "no:cacheprovider", "tests/engine")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_reference_and_engines_agree_after_the_changes(tmp_path: Path) -> None:
    copy_with_changes(tmp_path)
    done = run(tmp_path, *TEST)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("file", "found", "tests", "ended"),
    [
        ("engine/training.py", "training_difference(", "", "2 failed, 2 passed"),
        # Without what computes with every engine, which takes half a minute and is as it was.
        ("engine/native_decoding.py", "why_unsupported(", "not every_engine", "1 failed, 1 passed"),
        ("model_folder.py", "weight_shapes(", "not every_engine", "1 failed, 1 passed"),
    ],
)
def test_a_place_without_the_option_is_found(
    file: str, found: str, tests: str, ended: str, tmp_path: Path
) -> None:
    copy_with_changes(tmp_path, leave_out=f"translator/{file}")
    done = run(tmp_path, *TEST, "-k", tests)
    assert done.returncode == 1
    assert found in done.stdout
    assert ended in done.stdout


#: The refusal comes before the tokenizer is used, so none is needed.
EXPORT = """
from pathlib import Path
from translator.building import build_model
from translator.config import ModelConfig
from translator.export.to_ctranslate2 import write_model
for gated in (False, True):
    config = ModelConfig(width=8, n_heads=2, feed_forward=8, gated=gated)
    try:
        write_model(Path(), build_model(config, 20), None, config)
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_export_refuses_the_option(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    copy_with_changes(tmp_path)
    (tmp_path / "export.py").write_text(EXPORT, encoding="utf-8")
    done = run(tmp_path, "export.py")
    assert done.returncode == 0, done.stderr
    without, refused = done.stdout.splitlines()
    assert not without.startswith("ExportError")
    assert refused.startswith("ExportError a model with gates (model.gated) cannot be exported")
