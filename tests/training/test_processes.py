"""A process is one of several only where a launcher says so."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from phrases import command, environment, write_phrases

from translator.config import Config, HardwareConfig
from translator.errors import TrainingError
from translator.model_folder import MANIFEST
from translator.training.processes import (
    RUN_VARIABLE,
    Processes,
    find_processes,
    folder_for_children,
    launcher_environment,
    with_launched,
)
from translator.training.run import train

MakeConfig = Callable[..., Config]

ONE = HardwareConfig()
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
}
SRUN = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}


@pytest.fixture(autouse=True)
def _nobodys_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_", "JSM_", "LSB_", RUN_VARIABLE)):
            monkeypatch.delenv(name)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "GROUP_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


def left(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"RANK": "1"},
        {"LOCAL_RANK": "1", "WORLD_SIZE": "2", "NODE_RANK": "1"},
        {"RANK": "none", "WORLD_SIZE": ""},
        {**TORCHRUN, "WORLD_SIZE": "1"},
        {"TORCHELASTIC_RUN_ID": "none"},
        {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"},
        {**SRUN, "SLURM_STEP_NUM_TASKS": "1"},
        {"SLURM_STEP_NUM_TASKS": "4"},
        {RUN_VARIABLE: "1:/somewhere", "LOCAL_RANK": "1"},
        {RUN_VARIABLE: "/of/an/older/version"},
    ],
)
def test_what_is_left_in_the_environment_makes_nobody_one_of_several(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    left(monkeypatch, variables)
    processes = find_processes(ONE)
    assert processes == Processes("", 1, 0, None)
    assert processes.is_first
    before = dict(os.environ)
    with launcher_environment(processes):
        assert not {"RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "SLURM_PROCID"} & os.environ.keys()
        assert type(processes.cluster()) is LightningEnvironment
        assert not processes.cluster().creates_processes_externally
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("variables", "expected", "kind"),
    [
        (TORCHRUN, Processes("torchrun", 2, 1, None, 2), TorchElasticEnvironment),
        ({**TORCHRUN, "RANK": "0"}, Processes("torchrun", 2, 0, None, 2), TorchElasticEnvironment),
        (SRUN, Processes("srun", 4, 3, None, 2), SLURMEnvironment),
    ],
)
def test_a_launcher_is_believed(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: Processes, kind: type
) -> None:
    left(monkeypatch, variables)
    processes = find_processes(ONE)
    assert processes == expected
    assert processes.is_first is (expected.number == 0)
    with launcher_environment(processes):
        cluster = processes.cluster()
        assert type(cluster) is kind
        assert (cluster.world_size(), cluster.global_rank()) == (expected.n_started, expected.number)
        assert not getattr(cluster, "auto_requeue", False)


def test_a_process_that_lightning_started_has_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    left(monkeypatch, {RUN_VARIABLE: f"{os.getppid()}:/runs/a:b", "LOCAL_RANK": "1"})
    processes = find_processes(ONE)
    assert processes == Processes("", 1, 1, Path("/runs/a:b"))
    assert not processes.is_first
    with launcher_environment(processes):
        assert processes.cluster().local_rank() == 1


@pytest.mark.parametrize("rank", [{}, {"LOCAL_RANK": "0"}])
def test_what_a_training_starts_itself_is_none_of_its_processes(
    monkeypatch: pytest.MonkeyPatch, rank: dict[str, str]
) -> None:
    left(monkeypatch, {RUN_VARIABLE: f"{os.getppid()}:/runs/a", **rank})
    assert find_processes(ONE) == Processes("", 1, 0, None)


@pytest.mark.parametrize(
    ("processes", "is_told"),
    [
        (Processes("", 1, 0, None), True),
        (Processes("", 1, 1, Path("/runs/a")), False),
        (Processes("torchrun", 1, 0, None), False),
    ],
)
def test_the_folder_is_told_where_lightning_starts_the_others(processes: Processes, is_told: bool) -> None:
    os.environ[RUN_VARIABLE] = "1:/of/another"
    with folder_for_children(Path("/runs/a"), processes):
        found = os.environ.get(RUN_VARIABLE)
    assert found == (f"{os.getpid()}:/runs/a" if is_told else None)


#: Trains, and in a step of it starts a command.
SCRIPT = """
import subprocess, sys
from translator.config.file import load_config
from translator.training.module import TranslationModule
from translator.training.run import train
account = TranslationModule.record_step
def start(module, batch):
    account(module, batch)
    if module.progress.steps == 1:
        subprocess.run(sys.argv[2:], check=True)
TranslationModule.record_step = start
train(load_config(sys.argv[1], ["train.max_steps=2", "validation.n_samples=0"]), name="outer")
"""


@pytest.mark.slow
def test_a_training_in_a_training_has_its_own_run(tmp_path: Path) -> None:
    path = write_phrases(tmp_path)
    inner = command("train", path, "run.name=inner", "train.max_steps=2", "validation.n_samples=0")
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), *inner],
        env=environment(),
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert found.returncode == 0, found.stderr.decode()
    for name in ("inner", "outer"):
        assert (tmp_path / "runs" / name / "model" / MANIFEST).is_file()
        assert len(list((tmp_path / "runs" / name / "logs").iterdir())) == 1


def test_what_slurm_is_not_told_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    left(monkeypatch, SRUN)
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(TrainingError, match="srun: You set `--ntasks=4`"):
        find_processes(ONE).cluster()


def test_several_machines_have_to_be_told_where_the_first_is(monkeypatch: pytest.MonkeyPatch) -> None:
    two = HardwareConfig(n_nodes=2)
    with pytest.raises(
        TrainingError, match=r"hardware.n_nodes=2 needs NODE_RANK, MASTER_ADDR, MASTER_PORT in"
    ):
        find_processes(two)
    left(monkeypatch, {"NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "RANK": "0"})
    assert find_processes(two) == Processes("", 2, 1, None)


@pytest.mark.parametrize(
    ("processes", "devices", "n_nodes", "expected"),
    [
        (Processes("", 1, 0, None), None, None, (None, None)),
        (Processes("", 2, 1, None), 4, 2, (4, 2)),
        (Processes("torchrun", 2, 1, None, 2), None, None, (2, 1)),
        (Processes("srun", 8, 1, None, 4), "auto", 2, (4, 2)),
        (Processes("mpirun", 4, 1, None), 4, None, (4, None)),
    ],
)
def test_devices_and_machines_are_the_launchers(
    processes: Processes, devices: int | str | None, n_nodes: int | None, expected: tuple[object, object]
) -> None:
    hardware = HardwareConfig.model_validate({"devices": devices, "n_nodes": n_nodes})
    found = with_launched(hardware, processes)
    assert (found.devices, found.n_nodes) == expected


@pytest.mark.parametrize(("variables", "launcher"), [(TORCHRUN, "torchrun"), (SRUN, "srun")])
@pytest.mark.parametrize("key", ["devices=1", "devices=3", "n_nodes=4"])
def test_a_configuration_that_contradicts_the_launcher_is_refused(
    tiny_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    launcher: str,
    key: str,
) -> None:
    left(monkeypatch, variables)
    with pytest.raises(
        TrainingError, match=rf"^hardware.*{key}.*: {launcher} started \d processes, 2 on this machine; leave"
    ):
        train(tiny_config(f"hardware.{key}"), name="tiny")
    assert not (tmp_path / "runs").exists()


def test_machines_with_different_numbers_of_processes_are_refused() -> None:
    with pytest.raises(
        TrainingError, match="torchrun started 5 processes, 3 on this machine; start the same"
    ):
        with_launched(ONE, Processes("torchrun", 5, 0, None, 3))


@pytest.mark.slow
def test_torchruns_processes_agree_on_one_run(tmp_path: Path) -> None:
    path = write_phrases(tmp_path)
    (tmp_path / "runs" / "phrases").mkdir(parents=True)  # the name is taken
    launcher = [
        str(Path(sys.executable).with_name("torchrun")),
        "--standalone",
        "--nproc-per-node=2",
        *("-m", "translator", "train", str(path)),
    ]
    found = subprocess.run(
        [*launcher, "train.max_steps=4", "validation.n_samples=0"],
        env=environment(),
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert found.returncode == 0, found.stderr.decode()
    assert sorted(run.name for run in (tmp_path / "runs").iterdir()) == ["phrases", "phrases-2"]
    assert not list((tmp_path / "runs" / "phrases").iterdir())
    assert (tmp_path / "runs" / "phrases-2" / "model" / MANIFEST).is_file()
    assert found.stderr.decode().count("finished: ") == 1
