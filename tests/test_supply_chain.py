"""What is installed: the lock by hash, and the same versions everywhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def pins(text: str) -> dict[str, tuple[str, str]]:
    """Name → version and what follows it on its line."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)(.*)$", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): (version, rest) for name, version, rest in found}


def test_lock_and_constraints_agree() -> None:
    constraints = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    locked = pins(LOCK)
    assert len(locked) > 60
    both = locked.keys() & constraints.keys()
    assert [name for name in both if locked[name][0] != constraints[name][0]] == []
    # pip freeze leaves setuptools out; there is no browser among our platforms.
    others = {name for name in locked.keys() - both if "sys_platform == 'emscripten'" not in locked[name][1]}
    assert others == {"setuptools"}


def test_everything_in_the_lock_has_a_hash_and_comes_from_nowhere_in_particular() -> None:
    entries = re.split(r"\n(?=[^\s#])", LOCK.split("\n", 2)[2])
    assert len(entries) == len(pins(LOCK))
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []
    assert re.findall(r"://|index-url|find-links| @ ", LOCK) == []


@pytest.mark.parametrize("page", ["docs/installing.md", "constraints.txt"])
def test_torch_is_named_by_version_where_the_lock_leaves_it_out(page: str) -> None:
    assert "torch" not in pins(LOCK)
    assert [name for name in pins(LOCK) if name.startswith(("nvidia-", "cuda-", "triton"))] == []
    version = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))["torch"][0]
    assert f"torch=={version}" in (ROOT / page).read_text(encoding="utf-8")


def test_every_direct_dependency_is_in_the_lock() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dev = project.index("\ndev = [")
    direct = re.findall(
        r'^ {4}"([\w.-]+)[>=]', project[project.index("\ndependencies = [") : dev], re.MULTILINE
    )
    assert len(direct) > 15
    assert {name.lower().replace(".", "-") for name in direct} - pins(LOCK).keys() == {"torch"}
