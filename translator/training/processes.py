"""The processes of one training: which of them this is, and how all of them find the run's folder.

Only a launcher is believed. RANK, SLURM_PROCID and their like are left behind by shells, notebooks and batch
jobs, and do not make a process one of several.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.lsf import LSFEnvironment
from lightning.fabric.plugins.environments.mpi import MPIEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import distributed

from translator.config import HardwareConfig
from translator.environment import environment_kept
from translator.errors import TrainingError

#: What a training writes for the processes that Lightning starts in it: its own number and the run's folder.
RUN_VARIABLE = "PASSERELLE_RUN"

#: What Lightning would take this process's number from, and where the first one is found.
NUMBERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "GROUP_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
PLACES = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")

#: srun gives a task all of these; a batch script, which runs once, has some of them.
OF_SRUN = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")

_trainings = count()


class Processes(NamedTuple):
    """Who started this process, and beside which others.

    Attributes:
        launcher: a name for messages; "" where Lightning starts the others, or did.
        n_started: how many processes the launcher started; on how many machines, where there is none.
        number: of this process among them.
        folder: the run's, in a process that Lightning started; else None.
    """

    launcher: str
    n_started: int
    number: int
    folder: Path | None

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.number == 0 and self.folder is None

    def cluster(self) -> ClusterEnvironment:
        """Return Lightning's view of the launcher; it would guess otherwise.

        Raises:
            TrainingError: Lightning does not take the launcher's variables.
        """
        try:
            match self.launcher:
                case "torchrun":
                    return TorchElasticEnvironment()
                case "srun":
                    return SLURMEnvironment(auto_requeue=False)
                case "mpirun":
                    return MPIEnvironment()
                case "jsrun":
                    return LSFEnvironment()
            return LightningEnvironment()
        except (RuntimeError, ValueError, OSError) as error:
            raise TrainingError(f"{self.launcher}: {str(error).splitlines()[0]}") from None


def find_processes(hardware: HardwareConfig) -> Processes:
    """Return what the launcher says, if there is one."""
    owner, _, folder = os.environ.get(RUN_VARIABLE, "").partition(":")
    # What else a training starts, say another one, inherits the variable too, but Lightning numbers its own.
    if owner == str(os.getppid()) and _number("LOCAL_RANK") > 0:
        return Processes("", 1, _number("LOCAL_RANK"), Path(folder))
    if "TORCHELASTIC_RUN_ID" in os.environ and _number("WORLD_SIZE") > 1:
        return Processes("torchrun", _number("WORLD_SIZE"), _number("RANK"), None)
    if _number("SLURM_STEP_NUM_TASKS") > 1 and os.environ.keys() >= set(OF_SRUN):
        return Processes("srun", _number("SLURM_STEP_NUM_TASKS"), _number("SLURM_PROCID"), None)
    if LSFEnvironment.detect() and _number("JSM_NAMESPACE_SIZE") > 1:
        return Processes("jsrun", _number("JSM_NAMESPACE_SIZE"), _number("JSM_NAMESPACE_RANK"), None)
    if MPIEnvironment.detect():
        world = MPIEnvironment()
        return Processes("mpirun", world.world_size(), world.global_rank(), None)
    if hardware.n_nodes == 1:
        return Processes("", 1, 0, None)
    absent = [name for name in PLACES if name not in os.environ]
    if absent:
        raise TrainingError(
            f"hardware.n_nodes={hardware.n_nodes} needs {', '.join(absent)} in the environment of each "
            "machine; set them, or start with torchrun"
        )
    return Processes("", hardware.n_nodes, _number("NODE_RANK"), None)


def _number(variable: str) -> int:
    """Return a variable's whole number; 0 where it is none."""
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() else 0


@contextmanager
def only_launched(processes: Processes) -> Iterator[None]:
    """Hide from Lightning what does not come from a launcher, and its defaults by variable.

    The environment is as it was afterwards: Lightning leaves its own there.
    """
    hidden = {name for name in os.environ if name.startswith("PL_TRAINER_")}
    if processes.folder is not None:
        hidden |= {"RANK", "SLURM_PROCID"}
    elif not processes.launcher:
        hidden |= {*NUMBERS, *(PLACES if processes.n_started == 1 else ())}
    with environment_kept():
        for name in hidden & os.environ.keys():
            del os.environ[name]
        yield


@contextmanager
def told_to_other_processes(folder: Path | None, processes: Processes) -> Iterator[Path]:
    """Let all processes have the folder that the first one chose.

    Args:
        folder: the first process's; None in the others.
        processes: which of them this is.
    """
    store = None
    if processes.folder is not None:
        folder = processes.folder
    elif processes.n_started > 1:
        store = _store(processes)
        key = f"{RUN_VARIABLE}-{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}-{next(_trainings)}"
        try:
            if folder is not None:
                store.set(key, str(folder.absolute()))
            folder = Path(store.get(key).decode())
        except distributed.DistError as error:
            raise TrainingError(f"the first process did not begin: {str(error).splitlines()[0]}") from None
    assert folder is not None
    os.environ.pop(RUN_VARIABLE, None)
    if (
        not processes.launcher and processes.folder is None
    ):  # else Lightning starts none, and we have a number
        os.environ[RUN_VARIABLE] = f"{os.getpid()}:{folder.absolute()}"
    try:
        yield folder
    finally:
        os.environ.pop(RUN_VARIABLE, None)
        del store  # the first process's answers the others for as long as it is kept


def _store(processes: Processes) -> Any:
    """Return what the processes tell each other with, where Lightning will look for it too."""
    from torch.distributed.rendezvous import rendezvous  # not in every build of PyTorch

    cluster = processes.cluster()
    os.environ |= {"MASTER_ADDR": cluster.main_address, "MASTER_PORT": str(cluster.main_port)}
    try:
        return next(rendezvous("env://", processes.number, processes.n_started))[0]
    except (distributed.DistError, ValueError) as error:
        where = f"{cluster.main_address}:{cluster.main_port}"
        raise TrainingError(f"{where}: the other processes are not there: {error}") from None
