"""The Lightning trainer of a run: callbacks, hardware, loggers, and the training loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from translator import console
from translator.config import Config, HardwareConfig, TrainConfig
from translator.engine.backend import choose_training_backend
from translator.engine.runtime import multiplies_bfloat16
from translator.errors import TrainingError
from translator.model.transformer import Transformer
from translator.training.attention_init import initialise_copying
from translator.training.callbacks import (
    KeepBest,
    MovingAverage,
    RecordProgress,
    SaveForResuming,
    ShowProgress,
    StopRequestedError,
)
from translator.training.checkpoint import LAST, PREVIOUS, ChecksummedCheckpointIO
from translator.training.data import TranslationData
from translator.training.embedding_init import cooccurrence_embeddings
from translator.training.film import RecordFilm
from translator.training.module import TranslationModule
from translator.training.process_state import frozen_objects, quiet_lightning
from translator.training.processes import Processes
from translator.training.stopping import StopSignals
from translator.training.watch import WatchProcesses
from translator.translation.film import FILM


def fit(
    module: TranslationModule,
    data: TranslationData,
    folder: Path,
    *,
    callbacks: Sequence[Callback] = (),
    cluster: ClusterEnvironment | None = None,
) -> None:
    """Run the training loop. If the run folder has a `last.ckpt` or `previous.ckpt`, resume from it.

    Args:
        module: the module to train.
        data: the data to train on.
        folder: the run folder.
        callbacks: further callbacks, which are called after all others.
        cluster: Lightning's plugin for the launcher, or None if there is no launcher.
    """
    config, checkpoints = module.config, folder / "checkpoints"
    saver = SaveForResuming(checkpoints / LAST, 60 * config.train.checkpoint_minutes)
    signals, watch = StopSignals(saver), WatchProcesses(config.hardware.timeout_seconds)
    is_resumed = any((checkpoints / name).is_file() for name in (LAST, PREVIOUS))
    is_new = not is_resumed and config.train.init_from is None
    if is_new:
        _initialise(module.model, config.train, data.prepared.train)
    with quiet_lightning():
        trainer = Trainer(
            **_hardware_flags(config.hardware),
            plugins=[ChecksummedCheckpointIO(), cluster or LightningEnvironment()],
            max_epochs=-1,  # one endless epoch; `TranslationModule.count_time` stops it
            accumulate_grad_batches=config.train.accumulate,
            gradient_clip_val=config.train.clip_norm,
            val_check_interval=config.validation.every_steps * config.train.accumulate,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            callbacks=[watch, *_callbacks(config, saver, signals), *callbacks],
            logger=_loggers(folder),
            log_every_n_steps=10,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        if trainer.precision == "64-true":
            module.double()  # Lightning would do so only after `MovingAverage` copied the weights
        _fit(trainer, module, data, signals, watch, saver.path if is_resumed else None)


def _initialise(model: Transformer, train: TrainConfig, pairs: Any) -> None:
    """Apply `train.attention_init` and `train.embedding_init` to a model with random weights."""
    weight = model.embedding.weight
    columns = torch.arange(weight.size(1))
    if train.attention_init == "copying":
        columns = initialise_copying(model)
    if train.embedding_init == "counts":
        with torch.no_grad():
            weight[:, columns] = cooccurrence_embeddings(pairs, len(weight), len(columns))


def _fit(
    trainer: Trainer,
    module: TranslationModule,
    data: TranslationData,
    signals: StopSignals,
    watch: WatchProcesses,
    checkpoint: Path | None,
) -> None:
    """Run the training loop. If a signal stopped it, raise the exception that corresponds to the signal."""
    with signals, frozen_objects():
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except StopRequestedError:
            if not trainer.is_global_zero:  # an exception here would make Lightning kill the first process
                return
            console.note(
                f"stopped at step {module.progress.steps:,} and saved; "
                "to resume, run the same command with --resume"
            )
            signals.raise_signal()
        except SystemExit:  # raised by Lightning on a second Ctrl-C, or on SIGTERM before training starts
            signals.raise_signal()
        except RuntimeError as error:
            watch.explain(error)
            raise
        finally:
            module.teardown("fit")  # because Lightning does not call it after an exception


def _callbacks(config: Config, saver: SaveForResuming, signals: StopSignals) -> list[Callback]:
    """Return the callbacks in the order in which Lightning calls them."""
    # The film precedes the moving average, which replaces the weights when training ends.
    callbacks: list[Callback] = [signals, RecordProgress(), RecordFilm(saver.path.parent.parent / FILM)]
    if config.train.ema_decay is not None:
        callbacks.append(MovingAverage(config.train.ema_decay))
    callbacks += [ShowProgress(config.validation.n_samples), KeepBest(saver.path.parent), saver]
    if config.validation.patience is not None:
        callbacks.append(EarlyStopping("val_bleu", mode="max", patience=config.validation.patience))
    return callbacks


def _hardware_flags(hardware: HardwareConfig) -> dict[str, Any]:
    return {
        "accelerator": hardware.accelerator,
        "devices": hardware.devices or 1,
        "num_nodes": hardware.n_nodes or 1,
        "strategy": hardware.strategy,
        "precision": choose_precision(hardware.precision, hardware.accelerator),
    }


def check_hardware(hardware: HardwareConfig, processes: Processes) -> int:
    """Check that the configured hardware and backend are available, and return the number of processes.

    Raises:
        TrainingError: the hardware or the backend is not available, or the launcher did not start the
            configured number of processes.
    """
    try:
        with quiet_lightning():
            trainer = Trainer(
                **_hardware_flags(hardware),
                plugins=[processes.cluster()],
                logger=False,
                enable_checkpointing=False,
            )
    except (MisconfigurationException, ValueError, ImportError) as error:
        raise TrainingError(f"hardware: {str(error).splitlines()[0]} Change the hardware section") from None
    choose_training_backend(hardware.backend, trainer.strategy.root_device.type)
    n_asked = trainer.num_devices * trainer.num_nodes
    if processes.launcher and n_asked != processes.n_started:
        raise TrainingError(
            f"hardware.devices={hardware.devices}, hardware.n_nodes={hardware.n_nodes}: "
            f"{processes.launcher} started {processes.n_started} processes; set the first to those of "
            f"each machine, the second to the machines, or start one process without {processes.launcher}"
        )
    return n_asked


def choose_precision(wanted: str, accelerator: str) -> Any:
    """Return Lightning's precision flag. `auto` means bfloat16 if the device supports it, else float32."""
    if wanted != "auto":
        return wanted
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available())
    return "bf16-mixed" if on_cpu and multiplies_bfloat16() else "32-true"


def _loggers(folder: Path) -> list[Logger]:
    csv_log = CSVLogger(folder, name="logs")  # each session gets a new folder version_N
    try:
        return [csv_log, TensorBoardLogger(folder, name="logs", version=f"version_{csv_log.version}")]
    except ModuleNotFoundError:
        console.note("no TensorBoard log: it needs pip install 'passerelle[logs]'")
        return [csv_log]
