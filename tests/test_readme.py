"""The README's commands run, offline, with training budgets of seconds; what it names exists."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: Said of a command of the README that needs what is not here, or that would start this test again.
LEFT_OUT = ("make test", "multi30k", "PIP_ARGS")


def console_commands() -> list[str]:
    """The lines after `$ ` in the README's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tracked files, with this environment as its `.venv`."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    environment = Path(sys.prefix)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(environment / "bin")
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_console_commands_run_in_order(checkout: Path) -> None:
    commands = [c for c in console_commands() if not any(word in c for word in LEFT_OUT)]
    assert any(c.startswith("make train") for c in commands)
    assert any("translate" in c for c in commands)
    assert any(c.startswith("make evaluate") for c in commands)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in commands:
        if command.startswith("make train"):
            command += " ARGS='train.max_steps=30 validation.every_steps=30'"
        done = subprocess.run(
            command, shell=True, cwd=checkout, env=environment, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stdout.strip(), command


@pytest.mark.slow
def test_your_own_corpus_in_the_written_steps(checkout: Path, tiny_corpus: Path) -> None:
    (checkout / "data").mkdir(exist_ok=True)
    for language in ("fr", "en"):
        lines = (tiny_corpus / f"train.{language}").read_text(encoding="utf-8")
        (checkout / "data" / f"my-corpus.{language}").write_text(lines, encoding="utf-8")
    (checkout / "text.fr").write_text("Le chat dort.\n\nOù est ma clé ?\n", encoding="utf-8")
    small = "data.held_out.val=4 data.held_out.test=4 train.max_minutes=null train.max_steps=8"
    found = re.findall(r"`(translator (?:check-data|train|translate) [^`]+)`", README)
    assert [command.split()[1] for command in found] == ["check-data", "train", "translate"]
    for command in found:
        command = command.replace("train.max_minutes=8", "")
        if "configs/" in command:
            command += f" {small}"
        done = subprocess.run(
            f".venv/bin/{command}", shell=True, cwd=checkout, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert len((checkout / "text.en").read_text(encoding="utf-8").split("\n")) == 4


@pytest.mark.slow
def test_python_example_runs(checkout: Path, tmp_path: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    train = ".venv/bin/translator train configs/phrasebook.yaml train.max_steps=3 validation.every_steps=3"
    subprocess.run(train, shell=True, cwd=checkout, check=True, capture_output=True, timeout=200)
    done = subprocess.run([sys.executable, "-c", example], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_every_file_that_the_pages_name_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "data" / "README.md", *(ROOT / "docs").glob("*.md")]
    assert len(pages) >= 5
    missing = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        names = re.findall(
            r"`((?:configs|docs|scripts|tests|translator|data|model|search|training)/[\w./-]+)`", text
        )
        names += re.findall(r"\]\((?!http)([\w./-]+)\)", text)
        for name in names:
            places = (ROOT / name, ROOT / "translator" / name, page.parent / name)
            if not any(place.exists() for place in places) and not name.startswith("data/cache"):
                missing.append(f"{page.name}: {name}")
    assert missing == []


def test_every_configuration_key_that_the_pages_name_exists() -> None:
    from translator.config.reference import field_reference

    known = {key for key, *_ in field_reference()}
    sections = {key.split(".")[0] for key in known}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "configs").glob("*.yaml")]
    unknown = []
    for page in pages:
        for section, name in re.findall(r"\b([a-z]+)\.([a-z_]+)(?==)", page.read_text(encoding="utf-8")):
            if section in sections and f"{section}.{name}" not in known:
                unknown.append(f"{page.name}: {section}.{name}")
    assert unknown == []
