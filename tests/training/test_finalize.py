"""The commit in a manifest is this project's own, or none."""

import subprocess
from pathlib import Path

import pytest

from translator.training.finalize import git_commit

OURS = '[project]\nname = "passerelle"\n'


def git(folder: Path, *arguments: str) -> str:
    options = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *options, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree of this project with one commit."""
    root = tmp_path / "ours"
    write(root / "pyproject.toml", OURS)
    write(root / "translator" / "__init__.py")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    return root


def test_the_commit_of_our_work_tree_and_whether_it_was_changed(tree: Path) -> None:
    commit = git(tree, "rev-parse", "HEAD")
    assert git_commit(tree / "translator") == commit
    git(tree, "tag", "-am", "a tag is no commit", "v1")
    assert git_commit(tree / "translator") == commit
    write(tree / "translator" / "__init__.py", "changed = True\n")
    assert git_commit(tree / "translator") == f"{commit}-dirty"


@pytest.mark.parametrize(
    "pyproject", [None, "", '[project]\nname = "theirs"\n', "no TOML", "project = 1\n", OURS]
)
def test_an_installation_inside_somebodys_repository_has_none(tree: Path, pyproject: str | None) -> None:
    """Whatever lies beside the package there, even a copy of our own project file."""
    site = tree / ".venv" / "lib" / "site-packages"
    write(site / "translator" / "__init__.py")
    if pyproject is not None:
        write(site / "pyproject.toml", pyproject)
    assert git_commit(site / "translator") is None
    git(tree, "add", "-f", ".")
    git(tree, "commit", "-qm", "with the environment")
    assert git_commit(site / "translator") is None


def test_a_project_that_git_does_not_track_has_none(tree: Path) -> None:
    git(tree, "rm", "-q", "--cached", "translator/__init__.py")
    assert git_commit(tree / "translator") is None


def test_another_project_with_our_package_in_it_has_none(tree: Path) -> None:
    write(tree / "pyproject.toml", '[project]\nname = "theirs"\n')
    assert git_commit(tree / "translator") is None


def test_without_a_repository_or_without_git_there_is_none(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "copy" / "pyproject.toml", OURS)
    write(tmp_path / "copy" / "translator" / "__init__.py")
    assert git_commit(tmp_path / "copy" / "translator") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tree / "translator") is None


def test_a_hooks_variables_name_no_other_repository(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(tree, "rev-parse", "HEAD")
    theirs = tmp_path / "theirs"
    write(theirs / "file")
    git(theirs, "init", "-q")
    git(theirs, "add", ".")
    git(theirs, "commit", "-qm", "theirs")
    monkeypatch.setenv("GIT_DIR", str(theirs / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tree))
    assert git_commit(tree / "translator") == commit
