"""How the processes of a distributed training notice that one of them has died, or that the network is down.

A process that dies, for whatever reason, has its connections closed by the operating system. Each process
therefore waits, in threads, for a farewell from every other process, and ends when it gets an error instead.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import distributed

from translator import console
from translator.errors import TrainingError
from translator.training.callbacks import StopRequestedError

#: Seconds that a process has for its own error message before it ends because another one has died. In this
#: time, all processes notice that death, before the end of the next process.
GRACE = 2

RESUME = "To go on from the last checkpoint, start all processes again with --resume"

FOREVER = timedelta(days=365)


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


def name_of_process(rank: int, n: int) -> str:
    """Return how messages call this process."""
    return f"process {rank} of {n} (pid {os.getpid()} on {socket.gethostname()})"


def _is_of_network(error: BaseException) -> bool:
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )
