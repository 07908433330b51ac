"""Compare the validation losses of the fast training path and of the reference.

python scripts/loss_curve.py configs/multi30k.yaml data.root=FOLDER [--steps 200] [--every 50] [--seeds 1 2]

The fast path is the default of `translator train`: packed batches, replicas, native operations if they
were built, and bfloat16 if the CPU supports it. The reference is `hardware.backend=reference` in float32:
`translator.model` alone, padded batches, all logits, PyTorch's cross-entropy. With the same seed, both have
the same batches but different dropout masks. The differences between seeds show the noise.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from measuring import print_table

from translator.building import build_model
from translator.config import Config
from translator.config.file import load_config
from translator.data import corpus
from translator.data.preparation import prepare
from translator.engine.memory import cap_onednn_cache, tune_malloc
from translator.training.data import TranslationData
from translator.training.module import TranslationModule
from translator.training.trainer import fit

#: Configuration overrides of each curve.
CURVES = {"fast": [], "reference": ["hardware.backend=reference", "hardware.precision=32-true"]}


class ValidationLosses(Callback):
    """Collects the validation losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.losses.append(float(trainer.callback_metrics["val_loss"]))


def losses(config: Config) -> list[float]:
    prepared = prepare(config)
    validation = corpus.open_split(config.data, "val", seed=config.train.seed)
    torch.manual_seed(config.train.seed)
    module = TranslationModule(build_model(config.model, len(prepared.tokenizer)), config)
    found = ValidationLosses()
    with tempfile.TemporaryDirectory() as folder:
        fit(module, TranslationData(config, prepared, validation), Path(folder), callbacks=[found])
    return found.losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=50, help="steps between validations")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_intermixed_args()
    tune_malloc()
    cap_onednn_cache()
    common = [
        *arguments.overrides, f"train.max_steps={arguments.steps}", "train.max_minutes=null",
        f"validation.every_steps={arguments.every}", "validation.n_samples=0", "hardware.accelerator=cpu",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for name, hardware in CURVES.items():
        for seed in arguments.seeds:
            config = load_config(arguments.config, [*common, *hardware, f"train.seed={seed}"])
            rows.append([f"{name}, seed {seed}", *(f"{loss:.3f}" for loss in losses(config))])
    steps = [f"step {step}" for step in range(arguments.every, arguments.steps + 1, arguments.every)]
    print_table(" | ".join(["validation loss", *steps]), rows)


if __name__ == "__main__":
    main()
