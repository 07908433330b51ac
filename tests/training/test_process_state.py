"""However a training ends, the process that it ran in is as it was."""

import gc
import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from translator.config import Config
from translator.data.batching import Batch, BatchStream
from translator.engine.native import load_native
from translator.engine.training import TrainingEngine
from translator.errors import TrainingError
from translator.files import sha256
from translator.model_folder import WEIGHTS
from translator.training import run
from translator.training.callbacks import SaveForResuming
from translator.training.module import TranslationModule
from translator.training.run import train

MakeConfig = Callable[..., Config]

QUICK = (
    "data.files={train: 'train.{lang}', val: 'val.{lang}'}",
    "validation.n_samples=0",
    "train.max_steps=4",
    "validation.every_steps=2",
    "hardware.replicas=2",
    "hardware.threads=3",
)


class BrokenError(Exception):
    pass


def snapshot() -> dict[str, Any]:
    """What a training might leave changed."""
    loggers = [
        logging.getLogger(name) for name in (None, "lightning.pytorch", "lightning.fabric", "datasets")
    ]
    return {
        "threads of torch": torch.get_num_threads(),
        "frozen": gc.get_freeze_count(),
        "collector": (gc.isenabled(), gc.get_threshold()),
        # Threads of decoding stay: each has compiled kernels of its own.
        "threads": {t.name for t in threading.enumerate() if not t.name.startswith("decoding")},
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "levels": [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "precision": torch.get_float32_matmul_precision(),
        "dtype": torch.get_default_dtype(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "random": (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())),
        "working directory": Path.cwd(),
    }


def assert_as_before(before: dict[str, Any]) -> None:
    after = snapshot()
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert changed == {}


@pytest.fixture
def _two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def fail_in_a_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any, trainer: Any, module: TranslationModule) -> None:
        assert isinstance(module._engine, TrainingEngine)
        assert module._engine.ops.native is load_native()
        assert module._replicas is not None
        raise BrokenError

    monkeypatch.setattr(SaveForResuming, "on_validation_end", broken)


def fail_in_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(stream: BatchStream) -> Any:
        raise BrokenError
        yield

    monkeypatch.setattr(BatchStream, "__iter__", broken)


def fail_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise BrokenError

    monkeypatch.setattr(TranslationModule, "training_step", broken)


def fail_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise BrokenError

    monkeypatch.setattr(run, "finalize", broken)


def press_ctrl_c(monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGINT) -> None:
    account = TranslationModule.record_step

    def press(module: TranslationModule, batch: Batch) -> None:
        account(module, batch)
        if module.progress.steps == 3:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(TranslationModule, "record_step", press)


def press_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    press_ctrl_c(monkeypatch)
    press_ctrl_c(monkeypatch)


def terminate(monkeypatch: pytest.MonkeyPatch) -> None:
    press_ctrl_c(monkeypatch, signal.SIGTERM)


ENDS = {
    "a callback fails": (fail_in_a_callback, BrokenError),
    "the data fail": (fail_in_the_data, BrokenError),
    "a step fails": (fail_in_a_step, BrokenError),
    "the end fails": (fail_at_the_end, BrokenError),
    "Ctrl-C": (press_ctrl_c, KeyboardInterrupt),
    "Ctrl-C twice": (press_twice, KeyboardInterrupt),
    "SIGTERM": (terminate, SystemExit),
}


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(end, marks=() if end in ("a callback fails", "SIGTERM") else pytest.mark.slow)
        for end in ENDS
    ],
)
def test_after_an_exception_the_process_is_as_before(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    cause, error = ENDS[end]
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)
    cause(monkeypatch)
    config = tiny_config(*QUICK)
    before = snapshot()
    with pytest.raises(error):
        train(config, name="tiny")
    assert_as_before(before)


@pytest.mark.slow
@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize("is_first_beside", [True, False], ids=["another thread", "the same thread"])
def test_a_second_training_at_once_is_refused_and_the_process_is_as_before(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_first_beside: bool
) -> None:
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)
    config = tiny_config(*QUICK)
    account, refusals, models = TranslationModule.record_step, [], []

    def second() -> None:
        before = {**snapshot(), "threads": None}
        monkeypatch.setattr(TranslationModule, "record_step", account)  # else it would begin a third
        with pytest.raises(TrainingError) as caught:
            train(config, name="second")
        refusals.append(str(caught.value))
        assert {**snapshot(), "threads": None} == before

    def begin_another(module: TranslationModule, batch: Batch) -> None:
        account(module, batch)
        if module.progress.steps != 2:
            return
        if is_first_beside:
            with ThreadPoolExecutor(1) as other:
                other.submit(second).result()
        else:
            second()

    before = snapshot()
    with monkeypatch.context() as patch:
        patch.setattr(TranslationModule, "record_step", begin_another)
        models.append(train(config, name="first"))
    assert refusals == ["this process is already training; wait until that ends, or train in another process"]
    assert_as_before(before)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["first"]
    models.append(train(config, name="then"))
    first, then = (sha256(model / WEIGHTS) for model in models if model is not None)
    assert first == then


@pytest.mark.slow
@pytest.mark.usefixtures("_two_threads")
def test_after_a_finished_training_too(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("PL_TRAINER_FAST_DEV_RUN", "1")
    torch.manual_seed(7)
    before = snapshot()
    train(tiny_config(*QUICK), name="tiny")
    assert_as_before(before)


@pytest.mark.slow
def test_what_the_caller_has_frozen_stays_frozen(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        train(tiny_config(*QUICK), name="tiny")
        assert gc.get_freeze_count() >= before * 0.9, "an object may have been deleted"
    finally:
        gc.unfreeze()
