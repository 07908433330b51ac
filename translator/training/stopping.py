"""Signals while a model trains: they ask for a stop between two steps, where all can be saved."""

import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from translator import console
from translator.signals import ENDING, Handler
from translator.training.callbacks import SaveForResuming


class StopSignals(Callback):
    """Lets the first Ctrl-C and any SIGTERM or SIGHUP ask for a stop, and the second Ctrl-C stop at once.

    A context manager around the training, and a callback in it: Lightning puts a handler of its own in front,
    which would end the training unsaved and waits for the other processes in the middle of a step.
    """

    def __init__(self, saver: SaveForResuming):
        """Take what saves and stops."""
        self._saver = saver
        self._before: dict[int, Handler] = {}
        self._last: int | None = None  # of the signals that came

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # no other is told of signals
            self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING)}
            self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take Lightning's handlers away; it puts back what it found."""
        self._listen()

    def _listen(self) -> None:
        for number, handler in self._before.items():
            is_ignored = number in ENDING and handler == signal.SIG_IGN  # as nohup does
            signal.signal(number, signal.SIG_IGN if is_ignored else self._handle)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        is_again, self._last = self._last is not None, signum
        if is_again and signum == signal.SIGINT:
            usual = self._before[signal.SIGINT]
            (usual if callable(usual) else signal.default_int_handler)(signum, frame)
        elif not is_again:
            self._saver.stop_requested = True
            how = " (Ctrl-C again stops at once, without saving)" if signum == signal.SIGINT else ""
            with suppress(RuntimeError):  # in the middle of another line
                console.note(f"stopping after this step …{how}")

    def raise_signal(self) -> None:
        """Go on as the last signal demands, once training has ended by it.

        Raises:
            SystemExit: SIGTERM or SIGHUP, with the usual exit code.
            KeyboardInterrupt: Ctrl-C.
        """
        if self._last is not None and self._last != signal.SIGINT:
            raise SystemExit(128 + self._last) from None
        raise KeyboardInterrupt from None
