"""Which library of C operations is loaded, and why none is."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from translator.engine import native_library
from translator.engine.native_library import LEVELS, VARIABLE

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "translator/engine/csrc"

needs_library = pytest.mark.skipif(
    native_library.problem() is not None, reason=f"no C operations: {native_library.problem()}"
)


@pytest.fixture(autouse=True)
def _nothing_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that makes a folder of files named as libraries, and lets the package look there."""

    def make(*levels: str, content: str = "no library") -> Path:
        for name in levels:
            (tmp_path / f"_native_{name}.abi3.so").write_text(content, encoding="utf-8")
        monkeypatch.setattr(native_library, "FOLDER", tmp_path)
        return tmp_path

    return make


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that replaces the libraries by one that says that the CPU has some levels."""

    def has(*levels: str) -> None:
        library = SimpleNamespace(cpu_supports=lambda number: LEVELS[number] in levels)
        monkeypatch.setattr(native_library, "_open", lambda folder, name: library)

    return has


@pytest.mark.parametrize(
    ("supported", "built_levels", "wanted", "level"),
    [
        (LEVELS, LEVELS, "", "avx512_bf16"),
        (LEVELS[:3], LEVELS, "", "avx512"),
        (("default", "avx512"), LEVELS, "", "avx512"),
        (("default",), LEVELS, "", "default"),
        (LEVELS, LEVELS[:2], "", "avx2"),  # the compiler did not know the others
        (LEVELS, LEVELS, "avx2", "avx2"),
        (LEVELS, LEVELS, "default", "default"),
        (LEVELS[:2], LEVELS, "avx512", None),
        (LEVELS, LEVELS[:2], "avx512", None),
    ],
)
def test_the_highest_level_is_chosen(
    built: Callable[..., Path],
    cpu: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    supported: tuple[str, ...],
    built_levels: tuple[str, ...],
    wanted: str,
    level: str | None,
) -> None:
    built(*built_levels)
    cpu(*supported)
    monkeypatch.setenv(VARIABLE, wanted)
    assert native_library.level() == level
    message = f"{VARIABLE}={wanted} is not available here; set it to default or avx2"
    assert native_library.problem() == (None if level else message)
    assert (native_library.load_library() is None) == (level is None)


def test_an_unknown_level_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "sse9")
    assert native_library.load_library() is None
    assert native_library.problem() == (
        f"{VARIABLE}=sse9 is unknown; set it to default or avx2 or avx512 or avx512_bf16"
    )


def test_what_was_not_built_is_said_with_what_to_do(built: Callable[..., Path]) -> None:
    built()
    assert native_library.level() is None
    assert native_library.problem() == (
        "the C operations were not built, because there was no working C compiler when the package was "
        "installed; install one (such as gcc with libc6-dev), then run `pip install` again"
    )


def test_a_library_that_cannot_be_loaded_is_reported_with_the_loader_s_message(
    built: Callable[..., Path],
) -> None:
    built("default")
    said = str(native_library.problem())
    assert re.fullmatch(r"the C operations cannot be loaded \(.*_native_default\.abi3\.so: .*\)", said)


@needs_library
def test_a_library_of_other_sources_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable installation keeps the libraries of an older version."""
    for path in native_library.FOLDER.glob("_native_*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(native_library, "FOLDER", tmp_path)
    assert native_library.problem() is None  # control
    native_library._load.cache_clear()
    monkeypatch.setattr(native_library, "VERSION", native_library.VERSION ^ 1)
    try:
        assert native_library.load_library() is None
        said = str(native_library.problem())
        assert re.fullmatch(r"_native_default\S+ was built from other sources; run `pip install` again", said)
    finally:
        native_library._load.cache_clear()


@needs_library
@pytest.mark.parametrize("name", LEVELS)
def test_the_variable_chooses_the_level_of_a_process(name: str) -> None:
    """Without torch: other programs may look which level there is."""
    code = (
        "import sys; from translator.engine.native_library import *; found = load_library(); "
        "print(level(), found and found.lanes(), problem(), 'torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, VARIABLE: name},
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    if isinstance(native_library._load(native_library.FOLDER, name), str):
        problem = f"{VARIABLE}={name} is not available here; set it to "
        assert run.stdout.startswith(f"None None {problem}")
        assert run.stdout.endswith(" False\n")
    else:
        lanes = {"default": 4, "avx2": 8, "avx512": 16, "avx512_bf16": 16}[name]
        assert run.stdout == f"{name} {lanes} None False\n"


def test_all_levels_are_built_from_all_sources() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extensions = project["tool"]["setuptools"]["ext-modules"]
    assert [extension["name"] for extension in extensions] == [
        f"translator.engine._native_{level}" for level in LEVELS
    ]
    sources, headers = (
        {str(path.relative_to(ROOT)) for path in CSRC.glob(pattern)} for pattern in ("*.c", "*.h")
    )
    first = extensions[0]
    assert set(first["sources"]) == sources
    assert set(first["depends"]) == headers | {"pyproject.toml"}
    for extension in extensions:
        of_level = extension["extra-compile-args"][len(first["extra-compile-args"]) :]
        assert all(option.startswith("-m") for option in of_level)
        assert {**extension, "name": None, "extra-compile-args": None} == {
            **first, "name": None, "extra-compile-args": None
        }  # fmt: skip
        assert extension["extra-compile-args"][: -len(of_level) or None] == first["extra-compile-args"]


def test_the_version_depends_on_sources_and_options(tmp_path: Path) -> None:
    """That the written one is current is in tests/config/test_config.py, with the other generated files."""
    native_version = runpy.run_path(str(ROOT / "scripts/write_reference.py"))["native_version"]
    shutil.copytree(CSRC, tmp_path / "translator/engine/csrc")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(project, encoding="utf-8")
    assert native_version(tmp_path) == native_library.VERSION
    source = tmp_path / "translator/engine/csrc/training.c"
    before = source.read_text(encoding="utf-8")
    source.write_text(before + "\n", encoding="utf-8")
    assert native_version(tmp_path) != native_library.VERSION
    source.write_text(before, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(project.replace('"-mfma"', '"-mno-fma"'), encoding="utf-8")
    assert native_version(tmp_path) != native_library.VERSION
