"""The lock on a run folder, which prevents two processes from training in the same folder.

The first process of a training locks `session.json` and writes its own process id and host name to that file.
The operating system releases the lock when the process ends, even if it is killed.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from translator import console
from translator.errors import TrainingError
from translator.files import HELD, lock_error

SESSION = "session.json"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock on a run folder for the duration of a block.

    If the file system does not support locks, print a note and continue without the lock.

    Raises:
        TrainingError: another process holds the lock; the message names the process.
    """
    handle = os.open(folder / SESSION, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(handle, folder)
        session = {
            "started": datetime.now(UTC).isoformat(),
            "process": os.getpid(),
            "host": socket.gethostname(),
        }
        os.ftruncate(handle, 0)
        os.write(handle, (json.dumps(session) + "\n").encode())
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    error = lock_error(handle)
    if error is None:
        return
    if error.errno in HELD:
        raise TrainingError(
            f"{folder} is being trained by {_holder(handle)}; wait for it or stop it, or leave --resume out "
            "to start another run"
        )
    console.note(f"{folder}: no file locks ({error.strerror}); train there in one process at a time")


def _holder(handle: int) -> str:
    try:
        session = json.loads(os.read(handle, 10_000))
        return f"process {session['process']} on {session['host']}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return "another process"
