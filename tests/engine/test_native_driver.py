"""Random searches in C with the sanitizers of the compiler: no bad access, the same bits in every batch."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from native_models import LIBRARIES, each_level

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "translator/engine/csrc"
DRIVER = ROOT / "tests/engine/native_driver.c"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Wextra", "-Werror")

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


def options_of(level: str) -> list[str]:
    """Return the compiler options of a level, but for the optimisation."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [options] = [
        extension["extra-compile-args"]
        for extension in project["tool"]["setuptools"]["ext-modules"]
        if extension["name"].endswith(f"_native_{level}")
    ]
    return [option for option in options if not option.startswith("-O")]


def run_driver(level: str, folder: Path, csrc: Path = CSRC) -> subprocess.CompletedProcess[str]:
    sources = [DRIVER, csrc / "decoder.c", csrc / "products.c"]
    options = [*options_of(level), *SANITIZERS, "-std=gnu11", "-O1", f"-I{csrc}"]
    command = ["gcc", *options, *map(str, sources), "-lm", "-o", str(folder / "driver")]
    subprocess.run(command, check=True, timeout=100)
    return subprocess.run([folder / "driver", "8"], capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.slow
@needs_gcc
@each_level
def test_random_searches_are_clean_and_alike_in_every_batch(level: str, tmp_path: Path) -> None:
    run = run_driver(level, tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert int(run.stdout.removesuffix(" hypotheses\n")) > 300


@pytest.mark.slow
@needs_gcc
@pytest.mark.parametrize(
    ("file", "right", "wrong", "message"),
    [
        (
            "search.c",
            "rows > ENCODER_ROWS",
            "rows > 9 * ENCODER_ROWS",
            "AddressSanitizer: heap-buffer-overflow",
        ),
        (
            "products.c",
            "row_sums + i)",
            "row_sums)",
            "a sentence is not translated alike in a batch and alone",
        ),
    ],
)
def test_control_the_driver_finds_mistakes(
    file: str, right: str, wrong: str, message: str, tmp_path: Path
) -> None:
    shutil.copytree(CSRC, tmp_path / "csrc")
    source = (CSRC / file).read_text(encoding="utf-8")
    assert right in source
    (tmp_path / "csrc" / file).write_text(source.replace(right, wrong), encoding="utf-8")
    run = run_driver([*LIBRARIES][-1] if LIBRARIES else "default", tmp_path, tmp_path / "csrc")
    assert run.returncode == 1
    assert message in run.stdout + run.stderr
