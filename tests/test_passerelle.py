"""The command starts, or says in one line that another package named `translator` is in its place."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def start(folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask for help in a folder that an empty entry of PYTHONPATH adds, as in `PYTHONPATH=$PYTHONPATH:…`."""
    command = [sys.executable, "-c", "import passerelle; passerelle.main()", "--help"]
    environment = {**os.environ, "PYTHONPATH": f":{ROOT / 'scripts'}:{ROOT}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["translator/__init__.py", "translator.py"])
def test_a_package_that_shadows_ours_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("1 / 0\n", encoding="utf-8")
    done = start(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {path} shadows Passerelle's package of the same name; ")
    assert done.stderr.count("\n") == 1
    path.unlink()
    done = start(tmp_path)  # control; a folder without Python files is no package
    assert (done.returncode, done.stderr) == (0, "")
    assert "translate" in done.stdout


def test_a_package_whose_files_another_one_replaced_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "translator").mkdir()
    shutil.copy(ROOT / "translator" / "model_folder.py", tmp_path / "translator")
    (tmp_path / "translator/__init__.py").write_text("import translator.other\n", encoding="utf-8")
    done = start(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"error: {tmp_path / 'translator'}: damaged, perhaps by a package of the same"
    )
    assert done.stderr.count("\n") == 1


def test_a_package_that_is_missing_beneath_ours_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import nothing_like_it\n", encoding="utf-8")
    assert "No module named 'nothing_like_it'" in start(tmp_path).stderr


def test_the_command_starts_here() -> None:
    assert 'translator = "passerelle:main"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
