"""Does the quick training path learn as the plain one does? Validation losses of both, side by side.

python scripts/loss_curve.py configs/multi30k.yaml data.root=FOLDER [--steps 200] [--every 50] [--seeds 1 2]

Quick is what `translator train` does: bfloat16 where the CPU multiplies it, workers, no padding, attention,
dropout and loss of our own. Plain is float32 and the textbook: one process, padded batches, all logits, and
attention, dropout and cross-entropy of PyTorch. Both draw the same batches for a seed, but other dropout;
what seeds differ by is the noise.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from measuring import print_table
from torch import Tensor
from torch.nn import functional as F
from translator.allocator import keep_few_kernels, keep_freed_memory
from translator.model.dropout import Dropout

from translator.bundle import build_model
from translator.config import Config
from translator.config_file import load_config
from translator.data import corpus
from translator.data.batching import Batch
from translator.data.preparation import prepare
from translator.model import attention
from translator.model.attention import attention_weights
from translator.model.transformer import Transformer
from translator.symbols import PAD
from translator.training.data import TranslationData
from translator.training.module import TranslationModule
from translator.training.run import fit


class PlainModule(TranslationModule):
    """The textbook's step."""

    def _share_loss(self, model: Transformer, batch: Batch, *, factor: float) -> tuple[Tensor, Tensor]:
        logits = model(batch.source_ids, batch.target_in).flatten(0, 1)
        targets, smoothing = batch.target_out.flatten(), self.config.train.label_smoothing
        smoothed = F.cross_entropy(
            logits, targets, ignore_index=PAD, reduction="sum", label_smoothing=smoothing
        )
        with torch.no_grad():
            plain = F.cross_entropy(logits, targets, ignore_index=PAD, reduction="sum")
        return smoothed * factor, plain


class Keep(Callback):
    """Keeps the losses of the validations."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.losses.append(float(trainer.callback_metrics["val_loss"]))


def losses(config: Config, module_class: type[TranslationModule]) -> list[float]:
    prepared = prepare(config)
    validation = corpus.open_split(config.data, "val", seed=config.train.seed)
    torch.manual_seed(config.train.seed)
    module = module_class(build_model(config.model, len(prepared.tokenizer)), config)
    keep = Keep()
    with tempfile.TemporaryDirectory() as folder:
        fit(module, TranslationData(config, prepared, validation), Path(folder), watchers=[keep])
    return keep.losses


def plainly(query: Tensor, key: Tensor, value: Tensor, keep: Tensor | None) -> Tensor:
    return attention_weights(query, key, keep) @ value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=50, help="steps between validations")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_intermixed_args()
    keep_freed_memory()
    keep_few_kernels()
    common = [
        *arguments.overrides, f"train.max_steps={arguments.steps}", "train.max_minutes=null",
        f"validation.every_steps={arguments.every}", "validation.n_samples=0", "hardware.accelerator=cpu",
    ]  # fmt: skip
    plain = ["hardware.precision=32-true", "hardware.workers=1", "hardware.kernels=torch"]
    found: dict[str, list[float]] = {}
    for seed in arguments.seeds:
        config = load_config(arguments.config, [*common, f"train.seed={seed}"])
        found[f"quick, seed {seed}"] = losses(config, TranslationModule)
    attention.attend = plainly
    Dropout.forward = lambda self, x: F.dropout(x, self.probability, self.training)  # type: ignore[method-assign]
    for seed in arguments.seeds:
        config = load_config(arguments.config, [*common, f"train.seed={seed}", *plain])
        found[f"plain float32, seed {seed}"] = losses(config, PlainModule)
    steps = [f"step {step}" for step in range(arguments.every, arguments.steps + 1, arguments.every)]
    rows: list[list[Any]] = [[name, *(f"{loss:.3f}" for loss in row)] for name, row in found.items()]
    print_table(" | ".join(["validation loss", *steps]), rows)


if __name__ == "__main__":
    main()
