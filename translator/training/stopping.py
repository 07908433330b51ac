"""Signal handling during training: a signal stops the run after the current step and saves a checkpoint."""

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
    """Requests a stop on the first Ctrl-C, SIGTERM or SIGHUP. A later Ctrl-C stops the training at once.

    This class is a context manager, which installs its signal handlers around the training. When the training
    starts, Lightning replaces these handlers with its own, which would end the training without saving, or
    wait for other processes in the middle of a step. Therefore this class is also a callback, which installs
    its handlers again after Lightning has replaced them.
    """

    def __init__(self, saver: SaveForResuming):
        """Create handlers that pass a stop request on to `saver`."""
        self._saver = saver
        self._before: dict[int, Handler] = {}
        self._last: int | None = None  # the last signal received

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # other threads cannot handle signals
            self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING)}
            self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace Lightning's handlers. At the end, Lightning restores the handlers that it had replaced."""
        self._listen()

    def _listen(self) -> None:
        for number, handler in self._before.items():
            is_ignored = number in ENDING and handler == signal.SIG_IGN  # ignored by nohup, for example
            signal.signal(number, signal.SIG_IGN if is_ignored else self._handle)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        is_repeated, self._last = self._last is not None, signum
        if is_repeated and signum == signal.SIGINT:
            handler = self._before[signal.SIGINT]
            (handler if callable(handler) else signal.default_int_handler)(signum, frame)
        elif not is_repeated:
            self._saver.stop_requested = True
            hint = " (Ctrl-C again stops at once, without saving)" if signum == signal.SIGINT else ""
            with suppress(RuntimeError):  # raised if the signal interrupted a write to stderr
                console.note(f"stopping after this step …{hint}")

    def raise_signal(self) -> None:
        """Raise the exception that corresponds to the last signal. Call this after the training has ended.

        Raises:
            SystemExit: after SIGTERM or SIGHUP, with the exit code 128 + the signal number.
            KeyboardInterrupt: after Ctrl-C, or if no signal was received.
        """
        if self._last is not None and self._last != signal.SIGINT:
            raise SystemExit(128 + self._last) from None
        raise KeyboardInterrupt from None
