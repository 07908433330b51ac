"""A run folder has one writer.

The first process of a training holds a lock on `session.json`, which says who trains there, or did last. The
lock goes with the process, however that ends.
"""

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from translator import console
from translator.errors import TrainingError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SESSION = "session.json"


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Hold the lock on a run folder.

    Raises:
        TrainingError: another process holds it; the message names it.
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
    if fcntl is None:
        console.note(f"{folder}: this system has no file locks; train there in one process at a time")
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):  # the second on some network disks
            console.note(
                f"{folder}: no file locks there ({error.strerror}); train there in one process at a time"
            )
            return
        raise TrainingError(
            f"{folder} is being trained by {_holder(handle)}; wait for it or stop it, or leave --resume out "
            "to start another run"
        ) from None


def _holder(handle: int) -> str:
    try:
        session = json.loads(os.read(handle, 10_000))
        return f"process {session['process']} on {session['host']}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return "another process"
