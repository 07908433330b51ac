"""Commands that fork from a process that has imported the packages of others, which takes seconds.

The rest is that of a real start: our own modules are imported anew, by a process with its own arguments,
environment, folder and streams, which is our child and handles Ctrl-C. Not so what Python and packages read
from the environment when they start, the seed of hashes among it, nor the last garbage collection, left out.
What a test says about these, it says of a real start.
"""

import atexit
import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

PR_SET_CHILD_SUBREAPER = 36


@cache
def parent() -> socket.socket:
    """Start the process to fork from, once; it ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(theirs.fileno())]
    process = subprocess.Popen(command, env=variables, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    process.returncode = 0  # nobody waits for it
    theirs.close()
    return ours


class Forked(subprocess.Popen):
    """A command that is forked: a launcher, or `sys.executable` with a file, or with -m and a module."""

    def _execute_child(self, args: Any, *given: Any) -> None:
        _, preexec_fn, _, _, cwd, env, _, _, _, *pipes = given[:15]
        assert preexec_fn is None
        reading, _, _, writing, _, errors = pipes
        streams = [number if fd == -1 else fd for number, fd in enumerate((reading, writing, errors))]
        request = json.dumps([list(map(str, args)), dict(env or os.environ), str(cwd or os.getcwd())])
        adopt = ctypes.CDLL(None).prctl
        adopt(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # a child whose own parent has ended
        socket.send_fds(parent(), [request.encode()], streams)
        self.pid = int(parent().recv(100))
        adopt(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        self._child_created = True
        self._close_pipe_fds(*pipes)


def run_forked(
    command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None, text: bool = False
) -> subprocess.CompletedProcess[Any]:
    """Run a command to its end, as `subprocess.run` does."""
    pipe = subprocess.PIPE
    with Forked(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, cwd=cwd, env=env, text=text
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=250)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def next_command(connection: socket.socket) -> list[str]:
    """Fork for each request; return its command in the child, and never in the parent."""
    while True:
        request, streams, _, _ = socket.recv_fds(connection, 1_000_000, 3)
        if not request:
            os._exit(0)
        if between := os.fork():
            os.waitpid(between, 0)
            for fd in streams:
                os.close(fd)
            continue
        between = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == between:
            time.sleep(0.001)
        connection.send(str(os.getpid()).encode())
        connection.close()
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.dup2(streams[number], number)
            os.close(streams[number])
            setattr(sys, name, opened(number, getattr(sys, name)))
        command, variables, folder = json.loads(request)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        return [str(word) for word in command]


def opened(number: int, before: TextIO) -> TextIO:
    """Open a stream in the way of the one that Python opened, but for what is there now."""
    mode, buffering = "r" if number == 0 else "w", 1 if number == 2 else -1
    return open(number, mode, buffering, before.encoding, before.errors, closefd=False)


def execute(command: list[str]) -> None:
    """Do what Python does with such a command line."""
    gc.unfreeze()
    atexit.register(gc.freeze)  # to go through all objects at the end would copy them
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = command[command[0] == sys.executable :]
    if sys.argv[0] == "-m":
        sys.path.insert(0, os.getcwd())
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(os.path.realpath(sys.argv[0])))
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    for name in ("translator.cli", "translator.training.run", "matplotlib.backends.backend_agg"):
        import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in ("translator", "passerelle")]:
        del sys.modules[name]
    not_ours = [os.path.dirname(__file__), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    sys.path[:] = [path for path in sys.path if path not in not_ours]
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert len(threads) - threads.count("jemalloc_bg_thd") == 1, (
        "forks have no threads but PyArrow's, which may"
    )
    gc.collect()
    gc.freeze()
    execute(next_command(socket.socket(fileno=int(sys.argv[1]))))
