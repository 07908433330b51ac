"""What others leave in the environment changes nothing: a training does what it does without."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from phrases import command, environment, write_phrases

from translator.environment import hiding, preserve_environment, without
from translator.model_folder import WEIGHTS

#: Name of a row → the variables; None: absent.
ROWS: dict[str, dict[str, str | None]] = {
    "Jupyter": {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    "a desktop": {"MPLBACKEND": "TkAgg"},
    "no backend at all": {"MPLBACKEND": "none-such"},
    "a number": {"RANK": "1"},
    "no number": {"RANK": "none", "LOCAL_RANK": "", "SLURM_PROCID": "x", "WORLD_SIZE": "many"},
    "numbers of several": {
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
        "NODE_RANK": "1",
        "GROUP_RANK": "1",
    },
    "an address": {"MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "1", "RANK": "1", "WORLD_SIZE": "4"},
    "torchrun of one": {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"},
    "a batch job of Slurm": {
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "4",
        "SLURM_PROCID": "3",
        "SLURM_LOCALID": "3",
        "SLURM_NODEID": "1",
        "SLURM_NNODES": "2",
        "SLURM_NTASKS_PER_NODE": "2",
    },
    "our own variable": {"PASSERELLE_RUN": "1:/nowhere", "LOCAL_RANK": "1"},
    "Lightning's defaults": {"PL_TRAINER_FAST_DEV_RUN": "1", "PL_TRAINER_LIMIT_VAL_BATCHES": "0"},
    "colours": {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TTY_COMPATIBLE": "1"},
    "no colours": {"NO_COLOR": "1", "TERM": "dumb"},
    "a narrow terminal": {"COLUMNS": "1", "LINES": "1", "TERM": None},
    "no number of columns": {"COLUMNS": "wide"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "an absent locale": {"LC_ALL": "xx_XX.UTF-8", "LANG": "xx_XX"},
    "no home": {"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None},
    "a home that is not there": {"HOME": "/nonexistent", "MPLCONFIGDIR": None},
    "no temporary folder": {"TMPDIR": "/nonexistent"},
    "warnings": {"PYTHONWARNINGS": "error"},
    "no assertions": {"PYTHONOPTIMIZE": "2"},
}
#: Rows for one training, which takes seconds: each variable of a group is read by other code, so that none
#: can undo what another does. Of the rows that share a variable, each has its own group.
TOGETHER = [
    ("Jupyter", "a number", "colours", "the C locale"),
    ("a desktop", "no number", "no colours", "an absent locale"),
    ("no backend at all", "numbers of several", "a narrow terminal", "no home"),
    ("an address", "no number of columns", "a home that is not there"),
    ("torchrun of one", "Lightning's defaults", "warnings"),
    ("a batch job of Slurm", "no temporary folder", "our own variable", "no assertions"),
]


def said(text: bytes, root: Path) -> list[str]:
    """What a command said, without what differs each time: numbers, places, and others' remarks."""
    lines = text.decode().replace(str(root), "ROOT").splitlines()
    theirs = re.compile("matplotlib|MPLCONFIGDIR|locale|Matplotlib", re.IGNORECASE)
    return [re.sub(r"[0-9][0-9.,:]*", "#", line) for line in lines if not theirs.search(line)]


def files(root: Path) -> set[str]:
    """The files of a run; its event log is named by host and time."""
    found = {str(path.relative_to(root)) for path in (root / "runs").rglob("*") if path.is_file()}
    return {re.sub(r"tfevents\..*", "tfevents", name) for name in found}


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: list[str]
    stderr: list[str]
    files: set[str]
    weights: bytes


def tiny_training(root: Path, row: dict[str, str | None]) -> Outcome:
    path = write_phrases(root)
    variables = environment() | row
    found = subprocess.run(
        command("train", path, "train.max_steps=4", "validation.every_steps=4"),
        capture_output=True,
        env={name: value for name, value in variables.items() if value is not None},
        timeout=200,
        check=False,
    )
    assert b"Traceback" not in found.stderr, found.stderr.decode()
    weights = root / "runs" / "phrases" / "model" / WEIGHTS
    content = weights.read_bytes() if weights.is_file() else b""
    return Outcome(found.returncode, said(found.stdout, root), said(found.stderr, root), files(root), content)


@pytest.fixture(scope="module")
def without_any(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    outcome = tiny_training(tmp_path_factory.mktemp("without"), {})
    assert outcome.code == 0
    assert "finished: ROOT/runs/phrases/model" in outcome.stderr
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("rows", TOGETHER, ids=", ".join)
def test_a_training_does_what_it_does_without(
    tmp_path: Path, without_any: Outcome, rows: tuple[str, ...]
) -> None:
    variables = dict(item for row in rows for item in ROWS[row].items())
    assert tiny_training(tmp_path, variables) == without_any


def test_every_row_is_tried_and_no_two_together_set_one_variable() -> None:
    assert sorted(row for rows in TOGETHER for row in rows) == sorted(ROWS)
    for rows in TOGETHER:
        names = [name for row in rows for name in ROWS[row]]
        assert len(set(names)) == len(names), rows


def test_variables_are_taken_out_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    before = dict(os.environ)
    with without("RANK", "LOCAL_RANK"):
        assert "RANK" not in os.environ
    assert dict(os.environ) == before


def test_the_environment_is_kept_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    before = dict(os.environ)

    def change() -> None:
        with preserve_environment():
            os.environ |= {"RANK": "5", "MASTER_PORT": "1"}
            del os.environ["WORLD_SIZE"]
            raise KeyError

    with pytest.raises(KeyError):
        change()
    assert dict(os.environ) == before


def test_packages_are_hidden_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "polib", raising=False)
    before = list(sys.meta_path)
    with hiding("polib"):
        with pytest.raises(PackageNotFoundError):
            version("polib")
        with pytest.raises(ModuleNotFoundError):
            import_module("polib")
        assert version("lxml")
    assert version("polib") == import_module("polib").__version__
    assert sys.meta_path == before


@pytest.mark.slow
def test_lightning_comes_without_what_only_metrics_need_and_hides_it_from_nobody_else() -> None:
    code = (
        "import sys, translator.training; "
        "print({'transformers', 'scipy', 'matplotlib'} & set(sys.modules)); "
        "import ctranslate2, matplotlib.figure, scipy.signal, transformers; "
        "from importlib.metadata import version; print(version('transformers') == transformers.__version__)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (found.returncode, found.stdout) == (0, "set()\nTrue\n"), found.stderr
