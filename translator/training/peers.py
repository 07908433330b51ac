"""How the processes of a distributed training agree before it, and notice that one of them has died.

A process that dies, for whatever reason, has its connections closed by the operating system. Each process
therefore waits, in threads, for a farewell from every other process, and ends when it gets an error instead.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore

from translator import console
from translator.errors import TrainingError
from translator.training.callbacks import StopRequestedError
from translator.training.processes import Processes

T = TypeVar("T")

#: Seconds that a process has for its own error message before it ends because another one has died. In this
#: time, all processes notice that death, before the end of the next process.
GRACE = 2

RESUME = "To go on from the last checkpoint, start all processes again with --resume"

FOREVER = timedelta(days=365)

_trainings = count()


class Watch:
    """Ends this process, with a message, after another process of a group has died or failed."""

    def __init__(self, group: Any, names: list[str]):
        """Start to watch.

        Args:
            group: torch's process group, with the backend gloo.
            names: for each rank, how a message calls its process.
        """
        self._group, self._names = group, names
        self._lost: str | None = None
        self._has_failed = threading.Event()
        self._untold = {rank: True for rank in range(len(names)) if rank != group.rank()}
        self._threads = [
            threading.Thread(target=self._watch, args=(rank,), daemon=True) for rank in self._untold
        ]
        for thread in self._threads:
            thread.start()

    def _watch(self, rank: int) -> None:
        has_failed = torch.zeros(1)
        try:
            self._group.recv([has_failed], rank, 0).wait(FOREVER)
        except RuntimeError:
            has_failed += 1
        if not has_failed or self._lost is not None:
            return
        self._lost = self._names[rank]
        self._tell(rank, has_failed=False)  # because that process may be waiting for it in `close`
        if not self._has_failed.wait(GRACE):  # else, this process has its own message
            console.note(f"error: {self._lost} ended; its own output may say why. {RESUME}")
            os._exit(1)  # the main thread may be waiting for the lost process in C++

    def _tell(self, rank: int, *, has_failed: bool) -> None:
        if self._untold.pop(rank, False):
            with suppress(RuntimeError):
                self._group.send([torch.tensor([float(has_failed)])], rank, 0).wait()

    def close(self, *, has_failed: bool = False) -> None:
        """Say farewell to the other processes and wait for theirs. If this one has failed, they end, too."""
        if has_failed:
            self._has_failed.set()
        for rank in list(self._untold):
            self._tell(rank, has_failed=has_failed)
        for thread in self._threads:
            thread.join(GRACE if has_failed else None)


class Peers:
    """The processes that a launcher started or, without a launcher, one process on each machine."""

    def __init__(self, processes: Processes, *, timeout_seconds: int):
        """Connect to the other processes, if there are any.

        Raises:
            TrainingError: they cannot be reached within `timeout_seconds`.
        """
        self.number, self.n = (processes.number, processes.n_started) if processes.folder is None else (0, 1)
        self._watch: Watch | None = None
        if self.n > 1:
            # The first process serves the store as long as this object exists. Lightning uses it, too.
            self._store = _store(processes, timedelta(seconds=timeout_seconds))
            try:
                names = self.gather("names", name_of_process(self.number, self.n))
                gloo = distributed.ProcessGroupGloo(
                    self._store, self.number, self.n, timedelta(seconds=timeout_seconds)
                )
            except RuntimeError as error:
                raise TrainingError(
                    f"the other processes cannot be reached: {str(error).splitlines()[0]}; set "
                    "GLOO_SOCKET_IFNAME to the network interface that leads to them"
                ) from None
            self._watch = Watch(gloo, names)

    def gather(self, name: str, value: Any = None) -> list[Any]:
        """Wait for all processes, and return the value that each of them passed, in order of their numbers.

        Args:
            name: a name for this exchange; each name can be used once.
            value: this process's value, which can be represented as JSON.
        """
        if self.n == 1:
            return [value]
        keys = [f"{name}/{number}" for number in range(self.n)]
        self._store.set(keys[self.number], json.dumps(value))
        if self._watch is not None:
            self._store.wait(keys, FOREVER)  # because preparing a corpus may take hours
        return [json.loads(self._store.get(key)) for key in keys]

    def first_then_others(self, function: Callable[[], T]) -> T:
        """Call a function in the first process and then, at the same time, in all others."""
        if self.number > 0:
            self.gather("first")
            return function()
        result = function()
        self.gather("first")
        return result

    def check_shared(self, folder: Path) -> None:
        """Check that a folder, which is created if necessary, is the same for all processes.

        Raises:
            TrainingError: another machine has another folder of this name.
        """
        if self.n == 1:
            return
        with ExitStack() as stack:
            token = ""
            if self.number == 0:
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                    token = stack.enter_context(NamedTemporaryFile(dir=folder, prefix=".shared-")).name
                except OSError as error:
                    raise TrainingError(
                        f"{folder}: {error.strerror}; set run.root to another folder"
                    ) from None
            path = folder.absolute() / self.gather("token", Path(token).name)[0]
            places = self.gather(
                "is shared", "" if path.exists() else f"{socket.gethostname()}:{path.parent}"
            )
        if any(places):
            raise TrainingError(
                f"{', '.join({*filter(None, places)})} is not the folder in which the first process trains; "
                "set run.root to a folder that all machines share"
            )

    def check_equal(self, facts: dict[str, Any]) -> None:
        """Check that all processes have the same facts, such as digests of their data.

        Raises:
            TrainingError: they differ; the message names the first fact that differs.
        """
        (first_host, expected), *others = self.gather("facts", [socket.gethostname(), facts])
        for host, found in others:
            for key in expected | found:
                if found.get(key) != expected.get(key):
                    raise TrainingError(
                        f"{key} is {found.get(key)} on {host} and {expected.get(key)} on {first_host}; "
                        "give all processes the same data and configuration"
                    )

    def __enter__(self) -> "Peers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(has_failed=kind is not None)

    def close(self, *, has_failed: bool = False) -> None:
        """End the watch; from then on, `WatchProcesses` watches all processes that train."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close(has_failed=has_failed)


class WatchProcesses(Callback):
    """Watches all processes during training, and limits the time for which they wait for each other."""

    def __init__(self, timeout_seconds: int):
        self._timeout = timedelta(seconds=timeout_seconds)
        self._watch: Watch | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the watch."""
        if trainer.world_size == 1:
            return
        assert distributed.group.WORLD is not None
        distributed.group.WORLD.set_timeout(self._timeout)
        names = [""] * trainer.world_size
        distributed.all_gather_object(names, name_of_process(trainer.global_rank, trainer.world_size))
        self._watch = Watch(distributed.new_group(backend="gloo", timeout=self._timeout), names)
        # Lightning's own thread kills this process when a child process has died. An empty list ends it.
        children = getattr(trainer.strategy.launcher, "procs", [])
        trainer.strategy.launcher.procs, _ = [*children], children.clear()  # type: ignore[union-attr]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the watch and, unless they stop as requested, all other processes."""
        if self._watch is not None and not _is_of_network(exception):
            self._watch.close(has_failed=not isinstance(exception, StopRequestedError))

    def explain(self, error: RuntimeError) -> None:
        """If an error means that the connection to another process was lost, end with a message.

        Raises:
            TrainingError: the network does not answer.
        """
        if self._watch is None or not _is_of_network(error):
            return
        if "imed out" not in str(error):
            time.sleep(2 * GRACE)  # if a process has died, the watch ends this one meanwhile
        raise TrainingError(
            "another process hangs, or the network is down: no answer within hardware.timeout_seconds="
            f"{self._timeout.total_seconds():g}. {RESUME}"
        ) from None


def _is_of_network(error: BaseException) -> bool:
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def name_of_process(rank: int, n: int) -> str:
    """Return how messages call this process."""
    return f"process {rank} of {n} (pid {os.getpid()} on {socket.gethostname()})"


def _store(processes: Processes, timeout: timedelta) -> Any:
    """Return a key-value store that all processes share, at the address that Lightning will use later."""
    from torch.distributed.rendezvous import rendezvous  # some builds of PyTorch lack it

    cluster = processes.cluster()
    os.environ |= {"MASTER_ADDR": cluster.main_address, "MASTER_PORT": str(cluster.main_port)}
    try:
        store = next(rendezvous("env://", processes.number, processes.n_started, timeout=timeout))[0]
    except (distributed.DistError, ValueError) as error:
        where = f"{cluster.main_address}:{cluster.main_port}"
        raise TrainingError(f"{where}: the other processes cannot be reached: {error}") from None
    return PrefixStore(f"passerelle/{next(_trainings)}", store)
