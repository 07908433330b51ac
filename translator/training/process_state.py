"""What a training changes of the process that it runs in, and gives back however it ends."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from translator.errors import TrainingError

_training = threading.Lock()


@contextmanager
def only_training() -> Iterator[None]:
    """Let one training at a time change the process.

    Raises:
        TrainingError: there is one, in another thread or in this one.
    """
    if not _training.acquire(blocking=False):
        raise TrainingError(
            "this process is training already; wait until that ends, or train in another process"
        )
    try:
        yield
    finally:
        _training.release()


@contextmanager
def process_state_kept() -> Iterator[None]:
    """Put torch's threads and its random state back as they were."""
    n_threads = torch.get_num_threads()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hush Lightning's tips; what it would say of hardware and loaders, we say or have settled."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=Warning, module=r"lightning\..*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
