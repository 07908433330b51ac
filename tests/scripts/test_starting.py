"""Every script starts and has a `--help`; both curves of `loss_curve.py` train the same model."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import run_forked

from translator.config import Config
from translator.config.file import load_config

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import loss_curve

SCRIPTS = Path(loss_curve.__file__).parent
#: Scripts with options, but those that run in a peer's environment.
WITH_OPTIONS = sorted(
    path
    for path in (*SCRIPTS.glob("*.py"), *SCRIPTS.glob("examples/*.py"))
    if "ArgumentParser" in path.read_text(encoding="utf-8")
)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_forked([sys.executable, *map(str, arguments)], text=True)


@pytest.mark.slow
@pytest.mark.parametrize("script", WITH_OPTIONS, ids=lambda path: path.stem)
def test_a_script_explains_itself(script: Path) -> None:
    done = run(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


@pytest.mark.slow
def test_our_adapter_of_the_benchmark_starts() -> None:
    command = [sys.executable, str(SCRIPTS / "peers" / "passerelle_peer.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert (done.returncode, done.stderr) == (1, "usage: passerelle_peer.py train|decode JOB.json\n")


def test_one_curve_is_of_the_reference(tiny_config: Callable[..., Config], tmp_path: Path) -> None:
    backends = {}
    for name, hardware in loss_curve.CURVES.items():
        tiny_config()
        config = load_config(tmp_path / "tiny.yaml", hardware)
        backends[name] = config.hardware.backend
    assert backends["reference"] == "reference"
    assert backends["fast"] != "reference"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_without_dropout_the_curves_are_the_same(tiny_config: Callable[..., Config], tmp_path: Path) -> None:
    tiny_config()

    def curves(dropout: float) -> list[list[float]]:
        options = [f"model.dropout={dropout}", "hardware.precision=32-true"]
        budget = ["--steps", "6", "--every", "3", "--seeds", "1"]
        done = run(SCRIPTS / "loss_curve.py", tmp_path / "tiny.yaml", *options, *budget)
        assert done.returncode == 0, done.stderr
        rows = [line.split("|")[2:4] for line in done.stdout.splitlines() if ", seed 1" in line]
        return [[float(cell) for cell in row] for row in rows]

    fast, reference = curves(0.0)
    assert fast == pytest.approx(reference, abs=2e-3)
    # Control: with dropout, which both draw differently, they are not.
    fast, reference = curves(0.5)
    assert fast != pytest.approx(reference, abs=2e-3)
