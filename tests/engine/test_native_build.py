"""The C operations are built at installation, and rebuilt when their sources change."""

import os
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from translator.engine.native_library import LEVELS, VARIABLE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler `cc`")

#: pip without what the network, or another environment, would have to say.
OFFLINE = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tracked files."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            target = tmp_path / "checkout" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    return tmp_path / "checkout"


@pytest.fixture
def buildable(checkout: Path) -> Path:
    """A copy that is compiled without optimisation, in a quarter of the time."""
    path = checkout / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    assert text.count('"-O3", "-ffp-contract=off"') == len(LEVELS)
    text = text.replace('"-O3", "-ffp-contract=off"', '"-O0", "-ffp-contract=off"')
    path.write_text(text, encoding="utf-8")
    update_version(checkout)
    return checkout


def update_version(checkout: Path) -> None:
    run(sys.executable, "scripts/write_reference.py", cwd=checkout, PYTHONPATH=str(checkout))


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "PYTHONPATH", "CC")}
    done = subprocess.run(
        command, cwd=cwd, env={**kept, **variables}, text=True, timeout=400, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def state(path: Path, cwd: Path) -> str:
    """The level and the problem that a new process finds in the package at a path."""
    code = "from translator.engine.native_library import *; print(level(), problem())"
    return run(sys.executable, "-c", code, cwd=cwd, PYTHONPATH=str(path))


def test_without_a_compiler_the_package_is_installed(checkout: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", *OFFLINE]
    said = run(*pip, "--verbose", "--target", tmp_path / "there", ".", cwd=checkout, CC="/bin/false")
    assert 'building extension "translator.engine._native_default" failed' in said
    assert list((tmp_path / "there").rglob("_native_*")) == []
    found = state(tmp_path / "there", tmp_path)
    assert found.startswith("None the C operations were not built, because there was no working C compiler")


@needs_cc
def test_changed_sources_are_noticed_and_make_install_builds_them(buildable: Path, tmp_path: Path) -> None:
    # The environment's own setuptools, and nothing else of it, so that nothing is downloaded.
    (tmp_path / "tools").mkdir()
    packages = next(Path(p) for p in site.getsitepackages() if (Path(p) / "setuptools").is_dir())
    for name in ("setuptools", "_distutils_hack"):
        (tmp_path / "tools" / name).symlink_to(packages / name)
    install = ["make", "install", f"PYTHON={sys.executable}", f"PIP_ARGS={' '.join(OFFLINE)}"]

    def make_install() -> None:
        run(*install, cwd=buildable, PYTHONPATH=str(tmp_path / "tools"))

    make_install()
    level, problem = state(buildable, tmp_path).split()
    assert (level in LEVELS, problem) == (True, "None")
    source = buildable / "translator/engine/csrc/training.c"
    with source.open("a", encoding="utf-8") as file:
        file.write("/* changed */\n")
    update_version(buildable)
    assert "was built from other sources; run `pip install` again" in state(buildable, tmp_path)
    make_install()
    assert state(buildable, tmp_path).split() == [level, "None"]


@needs_cc
def test_options_of_the_environment_do_not_change_the_arithmetic(buildable: Path) -> None:
    """Loading a library that is linked with fast math sets small numbers to zero in the whole process."""
    bare = [sys.executable, "-c", "import setuptools; setuptools.setup()", "build_ext", "--inplace"]
    run(*bare, cwd=buildable, CFLAGS="-Ofast -ffast-math -funsafe-math-optimizations")
    code = (
        "from translator.engine.native_library import *; small = float('1e-310'); "
        "print(level() is not None, problem(), small / 10 > 0)"
    )
    assert run(sys.executable, "-c", code, cwd=buildable, PYTHONPATH=str(buildable)) == "True None True\n"


@needs_cc
def test_archives_hold_what_they_need(buildable: Path, tmp_path: Path) -> None:
    """The source archive has all C files; the wheel that is built from it has libraries instead."""
    build = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"
    run(sys.executable, "-c", build, "build_sdist", tmp_path, cwd=buildable)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "sdist", filter="data")
    [unpacked] = (tmp_path / "sdist").iterdir()
    sources = {path.name for path in (buildable / "translator/engine/csrc").iterdir()}
    assert {path.name for path in (unpacked / "translator/engine/csrc").iterdir()} == sources
    run(sys.executable, "-c", build, "build_wheel", tmp_path, cwd=unpacked)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if not name.endswith("/")]
        assert [name for name in names if name.endswith((".c", ".h"))] == []
        assert len([name for name in names if "/_native_" in name]) in (1, len(LEVELS))
        file.extractall(tmp_path / "there")
    assert state(tmp_path / "there", tmp_path).endswith(" None\n")
