"""What the processes of a distributed training agree on before it: folder, data and configuration."""

import json
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeVar

from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore

from translator.errors import TrainingError
from translator.training.processes import Processes
from translator.training.watch import FOREVER, RESUME, Watch, name_of_process

T = TypeVar("T")

_trainings = count()


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

        Raises:
            TrainingError: the first process, which serves the store, ended.
        """
        if self.n == 1:
            return [value]
        keys = [f"{name}/{number}" for number in range(self.n)]
        self._store.set(keys[self.number], json.dumps(value))
        try:
            if self._watch is not None:
                self._store.wait(keys, FOREVER)  # because preparing a corpus may take hours
            return [json.loads(self._store.get(key)) for key in keys]
        except distributed.DistError:
            raise TrainingError(
                f"process 0 of {self.n} ended; its own output may say why. {RESUME}"
            ) from None

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
