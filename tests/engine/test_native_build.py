"""The C operations are built at installation, and rebuilt when their sources change."""

import os
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from importlib.metadata import PathDistribution, files, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
        target = tmp_path / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        elif (ROOT / name).is_file():
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


def environment() -> dict[str, str]:
    """Without what chooses packages and compilers, and with compiled files, as in the Makefile."""
    left_out = (VARIABLE, "PYTHONPATH", "CC", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**environment(), **variables}, text=True, timeout=400, check=False,
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


def build_archives(checkout: Path, folder: Path) -> Path:
    """Build a source archive, and from it the wheel that is returned; both are in the folder."""
    build = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"
    run(sys.executable, "-c", build, "build_sdist", folder, cwd=checkout)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "sdist", filter="data")
    [unpacked] = (folder / "sdist").iterdir()
    sources = {path.name for path in (checkout / "translator/engine/csrc").iterdir()}
    assert {path.name for path in (unpacked / "translator/engine/csrc").iterdir()} == sources
    run(sys.executable, "-c", build, "build_wheel", folder, cwd=unpacked)
    [wheel] = folder.glob("*.whl")
    return wheel


def required(requirements: Iterable[str]) -> set[str]:
    """The names of the packages that some requirements come to, with what these require in turn."""
    found: set[tuple[str, str]] = set()
    left = [(text, "") for text in requirements]
    while left:
        text, extra = left.pop()
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        assert requirement.specifier.contains(version(requirement.name), prereleases=True), text
        for wanted in ("", *requirement.extras):
            if (key := (canonicalize_name(requirement.name), wanted)) not in found:
                found.add(key)
                left += [(inner, wanted) for inner in requires(requirement.name) or ()]
    return {name for name, _ in found}


def clean_programs(wheel: Path, folder: Path) -> Path:
    """A new environment with the wheel, and links to what it requires without extras. Its programs."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=ROOT)
    install = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--no-compile"]
    run(*install, *OFFLINE, wheel, cwd=ROOT)
    [packages] = folder.glob("lib/python*/site-packages")
    [metadata] = packages.glob("passerelle-*.dist-info")
    for name in required(PathDistribution(metadata).requires or ()):
        for path in files(name) or ():
            top = path.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(Path(path.locate()).parents[len(path.parts) - 1] / top)
    return folder / "bin"


#: Commands in a clean environment that must fail, each with its only line.
REFUSED = {
    "train phrasebok": "error: phrasebok: there is no such file; give a configuration file, or a name: "
    "multi30k, my-corpus, opus100, phrasebook, wmt14",
    "translate --model none Bonjour": "error: none: not a model folder: it does not exist; "
    "give the `model` folder of a finished run",
    "translate Bonjour": "error: no finished run below runs/; run `translator train phrasebook` first, "
    "or give --model FOLDER",
    "serve --model other/phrasebook/model": "error: serving needs uvicorn; install it: "
    "pip install 'passerelle[serve]'",
    "export out --model other/phrasebook/model": "error: exporting needs CTranslate2 "
    "(No module named 'ctranslate2'); install it: pip install 'passerelle[export]'",
    "explain Bonjour --png a.png --model other/phrasebook/model": "error: pictures need matplotlib: "
    "pip install 'passerelle[logs]'",
}


@needs_cc
def test_archives_hold_what_they_need_and_the_wheel_works_in_a_clean_environment(
    buildable: Path, tmp_path: Path, tiny_corpus: Path
) -> None:
    """The source archive has all C files; the wheel that is built from it has libraries instead."""
    wheel = build_archives(buildable, tmp_path)
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if not name.endswith("/")]
    assert [name for name in names if name.endswith((".c", ".h"))] == []
    assert len([name for name in names if "/_native_" in name]) in (1, len(LEVELS))
    for folder in ("translator/configs", "translator/data/phrasebook/tables"):
        packed = {name for name in names if name.startswith(f"{folder}/")}
        files = [path for path in (buildable / folder).resolve().rglob("*") if path.is_file()]
        assert {Path(name).name for name in packed} == {path.name for path in files}

    programs, work = clean_programs(wheel, tmp_path / "clean"), tmp_path / "work"
    work.mkdir()

    def translator(arguments: str) -> str:
        return run(programs / "translator", *arguments.split(), cwd=work, OMP_NUM_THREADS="1")

    code = "from translator.engine.native_library import *; print(level() in LEVELS, problem())"
    assert run(programs / "python", "-c", code, cwd=work) == "True None\n"
    corpus = " ".join(f"data.files.{split}={split}.{{lang}}" for split in ("train", "val", "test"))
    corpus += f" data.format=text data.root={tiny_corpus} tokenizer.vocabulary_size=400 run.root=other"
    said = translator(f"train phrasebook {corpus} train.max_minutes=0.03 search.max_length_ratio=0.1")
    assert "finished: other/phrasebook/model" in said
    assert [line for line in said.split("\n") if "passerelle[" in line] == [
        "no TensorBoard log: it needs pip install 'passerelle[logs]'",
        "no curves.png: it needs pip install 'passerelle[logs]'",
    ]
    model = "--model other/phrasebook/model"
    assert translator(f"translate {model} Bonjour.").strip()
    assert "test: 4 lines" in translator(f"evaluate {model}")
    assert translator(f"explain Bonjour --output page.html {model}").endswith("written: page.html\n")
    for arguments, line in REFUSED.items():
        command = [programs / "translator", *arguments.split()]
        done = subprocess.run(
            command, cwd=work, env=environment(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr.splitlines()[-1:]) == (1, [line])
        assert "Traceback" not in done.stderr
