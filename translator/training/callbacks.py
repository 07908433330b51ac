"""Lightning callbacks: progress accounting, weight averaging, checkpoints and the progress display."""

import time
from pathlib import Path
from textwrap import indent
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from translator import console
from translator.data.batching import Batch
from translator.errors import TrainingError
from translator.training.checkpoint import BEST, read_checkpoint
from translator.training.module import TranslationModule

#: Seconds between progress lines if stderr is not a terminal.
LINE_SECONDS = 30


class StopRequestedError(Exception):
    """Raised to end the training after a stop was requested and a checkpoint was saved."""


class RecordProgress(Callback):
    """Updates the module's progress after each optimiser step, before other callbacks read it."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """If this batch completed an optimiser step, record the step."""
        assert isinstance(pl_module, TranslationModule)
        if step_is_complete(trainer, batch_idx):
            pl_module.record_step(batch)


class MovingAverage(WeightAveraging):
    """An exponential moving average of the weights. Its decay increases during the first updates.

    The decay of update n is min(decay, (1 + n) / (10 + n)), as in TensorFlow's `ExponentialMovingAverage`.
    With a constant decay, the initial weights would dominate the average early in a run.
    """

    def __init__(self, decay: float):
        def update(averaged: list[Tensor], current: list[Tensor], n: Tensor | int) -> None:
            torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + int(n)) / (10 + int(n))))

        super().__init__(use_buffers=False, multi_avg_fn=update)


class KeepBest(ModelCheckpoint):
    """Saves `best.ckpt`, the checkpoint with the best validation BLEU.

    The best score is kept even if the run folder is moved between sessions.
    """

    def __init__(self, folder: Path):
        super().__init__(
            dirpath=folder,
            filename=Path(BEST).stem,
            monitor="val_bleu",
            mode="max",
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score. Lightning's own method discards it if the run folder was moved.

        If `best.ckpt` is lost or damaged, no score is restored, so the next validation counts as the best.
        """
        if state_dict["best_model_path"]:
            try:
                read_checkpoint(Path(str(self.dirpath)) / BEST)
            except TrainingError as error:
                rank_zero_only(console.note)(f"{error}; it is replaced by the best validation from now on")
                return
        super().load_state_dict({**state_dict, "dirpath": self.dirpath})


class SaveForResuming(Checkpoint):
    """Saves `last.ckpt` every `seconds` seconds and, if a stop is requested, after the current step.

    After a stop request, the training ends once the checkpoint is saved. If a validation is due after the
    step, the checkpoint is saved after the validation. Otherwise, the resumed run would skip this validation.
    """

    def __init__(self, path: Path, seconds: float):
        self.path, self.seconds = path, seconds
        self.stop_requested = False
        self._saved_at: float | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Save a checkpoint if one is due and no validation is due after this batch."""
        if step_is_complete(trainer, batch_idx) and not validation_is_due(trainer, batch_idx):
            self._save_if_it_is_time(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save a checkpoint if one is due."""
        assert isinstance(pl_module, TranslationModule)
        pl_module.count_time()
        self._save_if_it_is_time(trainer, pl_module)

    def _save_if_it_is_time(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TranslationModule)
        if trainer.should_stop:  # training is over, and the model folder is written next
            return
        now = pl_module.progress.seconds  # every rank has the same value
        if self._saved_at is None:
            self._saved_at = now
        stop = (
            trainer.strategy.broadcast(self.stop_requested) if trainer.world_size > 1 else self.stop_requested
        )
        if stop or now - self._saved_at >= self.seconds:
            trainer.save_checkpoint(self.path)
            self._saved_at = now
        if stop:
            raise StopRequestedError


class ShowProgress(Callback):
    """Displays phase, progress, speed and remaining time; after a validation, metrics and translations."""

    def __init__(self, n_samples: int):
        self.n_samples = n_samples
        self._bar = console.progress_bar() if console.is_terminal() else None
        self._recent: list[tuple[float, int]] = []
        self._line_at = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the progress bar."""
        if self._bar is not None and trainer.is_global_zero:
            self._task = self._bar.add_task("training", total=1.0, status="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Update the progress bar, or print a line every `LINE_SECONDS`."""
        assert isinstance(pl_module, TranslationModule)
        if not step_is_complete(trainer, batch_idx) or not trainer.is_global_zero:
            return
        progress = pl_module.progress
        fraction = progress.fraction(pl_module.config.train)
        self._recent = [*self._recent[-50:], (progress.seconds, progress.target_tokens)]
        seconds = self._recent[-1][0] - self._recent[0][0]
        speed = []  # unknown at the first step of a session and at the first step after a validation
        if seconds:
            per_second = (self._recent[-1][1] - self._recent[0][1]) / seconds
            pl_module.log("tokens_per_second", per_second)
            speed = [f"{per_second:,.0f} tokens/s"]
        now = time.monotonic()
        if self._bar is None and now - self._line_at < LINE_SECONDS:
            return
        remaining = progress.seconds * (1 - fraction) / fraction if fraction else 0.0
        loss = float(trainer.callback_metrics.get("train_loss", torch.nan))
        status = console.status(
            *(f"{_clock(remaining)} left", f"loss {loss:.3f}", f"step {progress.steps:,}"),
            *(f"epoch {progress.epochs:.1f}", *speed),
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, status=status)
        else:
            console.note(f"training {fraction:4.0%}  {status}")
            self._line_at = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show that a validation runs."""
        if self._bar is not None:
            self._bar.update(self._task, description="validating", status="", refresh=True)
        elif trainer.is_global_zero:
            console.note("validating")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the metrics and some translations."""
        assert isinstance(pl_module, TranslationModule)
        if not trainer.is_global_zero:
            return
        if self._bar is not None:
            self._bar.update(self._task, description="training")
        self._recent = []  # so that the displayed speed does not include the time of the validation
        metrics, data, texts = trainer.callback_metrics, pl_module.data, pl_module.hypotheses
        of_sources = [f"{name} {float(metrics[f'val_bleu_{name}']):.2f}" for name in data.validation_lines]
        console.note(
            f"step {pl_module.progress.steps:,} after {_clock(pl_module.progress.seconds)}: "
            f"validation loss {float(metrics['val_loss']):.3f}, "
            f"perplexity {float(metrics['val_perplexity']):.2f}, BLEU {float(metrics['val_bleu']):.2f}"
            + (f" ({', '.join(of_sources)})" if of_sources else "")
        )
        interval = max(1, len(texts) // max(1, self.n_samples))
        samples = [
            f"    {data.sources[row]}\n  → {texts[row]}\n  = {data.references[row]}"
            for row in range(0, len(texts), interval)[: self.n_samples]
        ]
        for sample in samples:
            console.note(sample)
        markdown = indent("\n".join(samples), 4 * " ")  # a block of code, where no character is special
        for logger in trainer.loggers:
            if samples and isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("samples", markdown, pl_module.progress.steps)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the progress bar."""
        self._stop_bar()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove the progress bar."""
        self._stop_bar()

    def _stop_bar(self) -> None:
        if self._bar is not None:
            console.leave_closed_terminal()
            self._bar.stop()


def step_is_complete(trainer: Trainer, batch_idx: int) -> bool:
    """Return whether this batch completed an optimiser step."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def validation_is_due(trainer: Trainer, batch_idx: int) -> bool:
    """Return whether a periodic validation follows this batch. One at the end of training does not count."""
    every = trainer.val_check_batch
    return every is not None and (batch_idx + 1) % every == 0


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
