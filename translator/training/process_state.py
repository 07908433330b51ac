"""Context managers for process-wide state that a training changes. They restore it even after an error."""

import gc
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from translator.errors import TrainingError

_training = threading.Lock()


@contextmanager
def exclusive_training() -> Iterator[None]:
    """Prevent two trainings from running in this process at the same time.

    Raises:
        TrainingError: a training is already running, in this or another thread.
    """
    if not _training.acquire(blocking=False):
        raise TrainingError(
            "this process is already training; wait until that ends, or train in another process"
        )
    try:
        yield
    finally:
        _training.release()


@contextmanager
def preserve_process_state() -> Iterator[None]:
    """Restore torch's number of threads and its random state at the end of a block."""
    n_threads = torch.get_num_threads()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)


@contextmanager
def frozen_objects() -> Iterator[None]:
    """For the duration of a block, exclude from garbage collection all objects that exist at its start.

    Otherwise, full collections would scan these objects, which mostly belong to imported modules, every few
    seconds.
    """
    if gc.get_freeze_count():  # the caller has frozen objects and is responsible for them
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's hints about hardware and data loaders."""
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
