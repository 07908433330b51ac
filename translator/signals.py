"""How a program is stopped from outside: Ctrl-C, SIGTERM of schedulers, SIGHUP of a terminal that closes."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

#: What a handler is: a function, one of Python's signs, or None where it is not Python's.
Handler = Callable[[int, FrameType | None], Any] | int | None

#: Exit codes after them: 128 + the signal's number, as of other programs.
INTERRUPTED, TERMINATED, HUNG_UP = 128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + 1

#: Signals by which others end a program; Windows has no SIGHUP.
ENDING = (signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))

#: Signals within as many seconds are one.
BURST_SECONDS = 1.0


class StopOnce:
    """Handles the signals that stop a program by one exception, however many come in a row.

    A second exception would come while the first is being handled, and be shown with a traceback.
    """

    def __init__(self) -> None:
        self._raised_at = -BURST_SECONDS

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Leave through every `finally`, unless that was just begun.

        Raises:
            KeyboardInterrupt: SIGINT.
            SystemExit: another signal, with the code `TERMINATED` or `HUNG_UP`.
        """
        now = time.monotonic()
        if now - self._raised_at < BURST_SECONDS:
            return
        self._raised_at = now
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signum)


@contextmanager
def handled(signum: int, handler: Handler, *, instead_of: Handler) -> Iterator[None]:
    """Handle a signal, where it would be handled in a certain way otherwise; only the main thread can."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signum) != instead_of:
        yield
        return
    signal.signal(signum, handler)
    try:
        yield
    finally:
        if signal.getsignal(signum) is handler:  # else somebody settled it for good
            signal.signal(signum, instead_of)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let what ends a program raise one exception, where the program would be gone at once otherwise."""
    once = StopOnce()
    with ExitStack() as stack:
        for number in ENDING:
            stack.enter_context(handled(number, once, instead_of=signal.SIG_DFL))
        yield
