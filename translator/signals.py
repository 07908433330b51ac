"""Signals that stop a program: Ctrl-C, SIGTERM from a scheduler, SIGHUP from a terminal that closes."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

#: Type of the values of `signal.getsignal`: a function, SIG_DFL, SIG_IGN, or None if the handler was not
#: installed from Python.
Handler = Callable[[int, FrameType | None], Any] | int | None

#: Exit codes after SIGINT, SIGTERM and SIGHUP: 128 + the signal number, as in a shell.
INTERRUPTED, TERMINATED, HUNG_UP = 128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + 1

#: Signals that other programs send to end this program; Windows has no SIGHUP.
ENDING = (signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))

#: Signals that arrive within this many seconds count as one.
BURST_SECONDS = 1.0


class StopOnce:
    """A signal handler that raises only one exception for a burst of signals.

    A second exception would interrupt the cleanup that follows the first one, and print a traceback.
    """

    def __init__(self) -> None:
        self._raised_at = -BURST_SECONDS

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Raise an exception, unless this handler raised one within the last `BURST_SECONDS` seconds.

        Raises:
            KeyboardInterrupt: on SIGINT.
            SystemExit: on any other signal, with the code `TERMINATED` or `HUNG_UP`.
        """
        now = time.monotonic()
        if now - self._raised_at < BURST_SECONDS:
            return
        self._raised_at = now
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signum)


@contextmanager
def signal_handler(signum: int, handler: Handler, *, instead_of: Handler) -> Iterator[None]:
    """Install a signal handler for the duration of a block.

    The current handler is left in place if it is not `instead_of`, or if the block runs outside the main
    thread, because Python can install handlers only in the main thread.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signum) != instead_of:
        yield
        return
    signal.signal(signum, handler)
    try:
        yield
    finally:
        if signal.getsignal(signum) is handler:  # otherwise, the block replaced it
            signal.signal(signum, instead_of)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Within a block, raise `SystemExit` on SIGTERM and SIGHUP, but only once for a burst of them.

    Because of this exception, `finally` blocks run before the process ends.
    """
    stop = StopOnce()
    with ExitStack() as stack:
        for signum in ENDING:
            stack.enter_context(signal_handler(signum, stop, instead_of=signal.SIG_DFL))
        yield
