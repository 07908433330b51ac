"""Distributed training: detect the launcher, and the devices and machines for which it started processes.

Variables such as RANK and SLURM_PROCID alone do not mean that training is distributed, because
shells, notebooks and batch jobs leave them set. They are used only if variables of a launcher are set, too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.lsf import LSFEnvironment
from lightning.fabric.plugins.environments.mpi import MPIEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from translator.config import HardwareConfig
from translator.environment import preserve_environment
from translator.errors import TrainingError

#: The environment variable that passes this process's id and the run folder to the processes that Lightning
#: starts.
RUN_VARIABLE = "PASSERELLE_RUN"

#: Variables from which Lightning would read ranks and the number of processes.
RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "GROUP_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
#: Variables from which Lightning would read the rank of this machine, and the address of the first machine.
NODE_VARIABLES = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")

#: srun sets all of these variables in each task. A batch script is a single process, in which only
#: some of them are set.
SRUN_VARIABLES = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")


class Processes(NamedTuple):
    """The launcher of this training and the rank of this process.

    Attributes:
        launcher: "torchrun", "srun", "mpirun" or "jsrun", or "" if there is no launcher. Without a launcher,
            Lightning starts any further processes.
        n_started: number of processes that the launcher started or, without a launcher, number of machines.
        number: index of this process among the `n_started` processes or, without a launcher, index of this
            machine. In a process that Lightning started, index of the process on its machine.
        folder: the run folder, if this process was started by Lightning; else None.
        n_local: number of processes that the launcher started on each machine, or 0 if it is not known.
    """

    launcher: str
    n_started: int
    number: int
    folder: Path | None
    n_local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes the run folder."""
        return self.number == 0 and self.folder is None

    def cluster(self) -> ClusterEnvironment:
        """Return Lightning's plugin for the launcher, so that Lightning does not have to guess it.

        Raises:
            TrainingError: Lightning rejects the launcher's variables.
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
    """Detect the launcher from the environment.

    Raises:
        TrainingError: training on several machines is configured, but there is no launcher, and a variable in
            `NODE_VARIABLES` is not set.
    """
    owner, _, folder = os.environ.get(RUN_VARIABLE, "").partition(":")
    # Every child process inherits RUN_VARIABLE. Only child processes that Lightning started have a LOCAL_RANK
    # above 0.
    if owner == str(os.getppid()) and _number("LOCAL_RANK") > 0:
        return Processes("", 1, _number("LOCAL_RANK"), Path(folder))
    if "TORCHELASTIC_RUN_ID" in os.environ and _number("WORLD_SIZE") > 1:
        n_local = _number("LOCAL_WORLD_SIZE")
        return Processes("torchrun", _number("WORLD_SIZE"), _number("RANK"), None, n_local)
    if _number("SLURM_STEP_NUM_TASKS") > 1 and os.environ.keys() >= set(SRUN_VARIABLES):
        n_started, n_local = _number("SLURM_STEP_NUM_TASKS"), _number("SLURM_NTASKS_PER_NODE")
        return Processes("srun", n_started, _number("SLURM_PROCID"), None, n_local)
    if LSFEnvironment.detect() and _number("JSM_NAMESPACE_SIZE") > 1:
        return Processes("jsrun", _number("JSM_NAMESPACE_SIZE"), _number("JSM_NAMESPACE_RANK"), None)
    if MPIEnvironment.detect():
        world = MPIEnvironment()
        return Processes("mpirun", world.world_size(), world.global_rank(), None)
    n_nodes = hardware.n_nodes or 1
    if n_nodes == 1:
        return Processes("", 1, 0, None)
    missing = [name for name in NODE_VARIABLES if name not in os.environ]
    if missing:
        raise TrainingError(
            f"hardware.n_nodes={n_nodes} needs {', '.join(missing)} in the environment of each "
            "machine; set them, or start with torchrun"
        )
    return Processes("", n_nodes, _number("NODE_RANK"), None)


def with_launched(hardware: HardwareConfig, processes: Processes) -> HardwareConfig:
    """Return the configuration with the numbers of devices and machines that the launcher started.

    If it does not say how many it started on each machine, or if there is no launcher, nothing is changed.

    Raises:
        TrainingError: other numbers are configured, or the launcher started different numbers on different
            machines.
    """
    if not processes.n_local:
        return hardware
    n_nodes, rest = divmod(processes.n_started, processes.n_local)
    launched = (
        f"{processes.launcher} started {processes.n_started} processes, {processes.n_local} on this machine"
    )
    if rest:
        raise TrainingError(f"{launched}; start the same number on each machine")
    if hardware.devices not in (None, "auto", processes.n_local) or hardware.n_nodes not in (None, n_nodes):
        raise TrainingError(
            f"hardware.devices={hardware.devices}, hardware.n_nodes={hardware.n_nodes}: {launched}; leave "
            f"both keys out, or start one process without {processes.launcher}"
        )
    return hardware.model_copy(update={"devices": processes.n_local, "n_nodes": n_nodes})


def _number(variable: str) -> int:
    """Return the value of an environment variable as an integer; 0 if it is unset or not an integer."""
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() else 0


@contextmanager
def launcher_environment(processes: Processes) -> Iterator[None]:
    """Hide misleading environment variables from Lightning for the duration of a block.

    The hidden variables are all PL_TRAINER_… variables, which would change the trainer's defaults, and rank
    variables that were not set by a launcher. At the end of the block, the environment is restored, which
    also undoes the changes that Lightning made.
    """
    hidden = {name for name in os.environ if name.startswith("PL_TRAINER_")}
    if processes.folder is not None:
        hidden |= {"RANK", "SLURM_PROCID"}
    elif not processes.launcher:
        hidden |= {*RANK_VARIABLES, *(NODE_VARIABLES if processes.n_started == 1 else ())}
    with preserve_environment():
        for name in hidden & os.environ.keys():
            del os.environ[name]
        yield


@contextmanager
def folder_for_children(folder: Path, processes: Processes) -> Iterator[None]:
    """For the duration of a block, pass the run folder to processes that Lightning starts."""
    os.environ.pop(RUN_VARIABLE, None)
    if not processes.launcher and processes.folder is None:  # Lightning starts any further processes
        os.environ[RUN_VARIABLE] = f"{os.getpid()}:{folder.absolute()}"
    try:
        yield
    finally:
        os.environ.pop(RUN_VARIABLE, None)
