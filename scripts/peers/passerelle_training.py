"""The training half of `passerelle_peer.py`: the whole training loop.

Measured: `training.trainer.fit`, as `translator train` runs it (the loop of Lightning, averaging, logging,
budget), with a job's `config` instead of its batches: those were drawn from the same configuration, so they
are the same.

Job keys of its own: `config`, `replicas` and `backend`.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from jobs import Job, Stopwatch, read_batches, use_threads
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from translator.building import build_model
from translator.config import validate
from translator.data import corpus
from translator.data.preparation import prepare
from translator.engine.memory import cap_onednn_cache, tune_malloc
from translator.training.data import TranslationData
from translator.training.module import TranslationModule
from translator.training.trainer import fit

PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed"}


class Measure(Callback):
    """Tells the stopwatch of each step."""

    def __init__(self, stopwatch: Stopwatch):
        self.stopwatch = stopwatch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.stopwatch.losses.append(float(outputs["loss"]))
        trainer.should_stop = self.stopwatch.step_done()


def train(job: Job) -> Job:
    use_threads(job)
    tune_malloc()
    cap_onednn_cache()
    config = validate(job["config"])
    hardware = {
        "replicas": job.get("replicas"), "backend": job.get("backend", "auto"),
        "precision": PRECISION[job["precision"]], "accelerator": "cpu",
    }  # fmt: skip
    config = config.model_copy(update={"hardware": config.hardware.model_copy(update=hardware)})
    prepared = prepare(config)
    validation = corpus.open_split(config.data, "val", seed=config.train.seed).select(range(2))
    torch.manual_seed(config.train.seed)
    module = TranslationModule(build_model(config.model, len(prepared.tokenizer)), config)
    stopwatch = Stopwatch(job, read_batches(job))
    with tempfile.TemporaryDirectory() as folder:
        data = TranslationData(config, prepared, validation)
        fit(module, data, Path(folder), callbacks=[Measure(stopwatch)])
    return stopwatch.result()
