"""A training run from its configuration to a finished model folder.

runs/<name>/config.yaml              the whole configuration
           /data.json                what the data and the vocabulary are recognised by
           /checkpoints/last.ckpt    to go on from, at least every minute
           /checkpoints/previous.ckpt  the one before it, should it be damaged
           /checkpoints/best.ckpt    the best validation BLEU
           /logs/version_N/          CSV (and TensorBoard) logs, one a session
           /curves.png
           /model/                   the model folder; a run is finished when it has a manifest
"""

import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from translator import console
from translator.allocator import keep_few_kernels, keep_freed_memory
from translator.bundle import build_model
from translator.config import Config
from translator.config_file import config_to_yaml
from translator.data import corpus
from translator.data.preparation import Prepared, check_strict, open_scored, prepare
from translator.errors import DataError, TrainingError
from translator.files import write_whole
from translator.model import kernels
from translator.model.processor import multiplies_bfloat16
from translator.model.transformer import n_parameters
from translator.training.callbacks import (
    Accounting,
    KeepBest,
    MovingAverage,
    SaveForResuming,
    ShowProgress,
    StopRequestedError,
)
from translator.training.checkpoint import LAST, PREVIOUS, WholeCheckpoints
from translator.training.curves import draw_curves
from translator.training.data import TranslationData
from translator.training.data_record import hold_to_data
from translator.training.embedding_init import count_embeddings
from translator.training.finish import finish, git_commit
from translator.training.folder import remove_partial_files_of_run, run_folder, told_to_other_processes
from translator.training.module import TranslationModule


def train(config: Config, *, name: str, resume: bool = False) -> Path | None:
    """Train a model and write its folder.

    Args:
        config: what to train, on what, for how long.
        name: of the run, where `run.name` gives none.
        resume: go on in the newest unfinished run of that name.

    Returns:
        The model folder; None in a process that Lightning started for another device.

    Raises:
        DataError: the corpus cannot be read.
        TrainingError: there is no such run to resume, it was of another configuration or of other data, the
            hardware is not there, or the training went wrong.
        KeyboardInterrupt: Ctrl-C; the state of training is saved where it was pressed once.
    """
    keep_freed_memory()
    keep_few_kernels()
    commit = git_commit()  # now: the files may change while it trains
    if config.hardware.threads is not None:
        torch.set_num_threads(config.hardware.threads)
    _check_hardware(config)
    prepared = prepare(config)
    check_strict(config, prepared.report)
    validation = _validation_split(config)
    folder = run_folder(config, config.run.name or name, resume)
    if _is_first_process():
        _say_what_is_trained(config, prepared, folder)
        if (
            config.hardware.precision == "bf16-mixed"
            and config.hardware.accelerator == "cpu"
            and not multiplies_bfloat16()
        ):
            console.note("hardware.precision: this CPU multiplies bfloat16 very slowly; 32-true is quicker")
        hold_to_data(folder, prepared)
        remove_partial_files_of_run(folder)
        write_whole(folder / "config.yaml", config_to_yaml(config).encode())
    torch.manual_seed(config.train.seed)
    module = TranslationModule(build_model(config.model, len(prepared.tokenizer)), config)
    if _is_first_process():
        console.note(f"model: {n_parameters(module.model):,} parameters, {len(prepared.tokenizer):,} pieces")
    with told_to_other_processes(folder):
        fit(module, TranslationData(config, prepared, validation), folder)
    if not _is_first_process():
        return None
    _draw(folder)
    return finish(config, prepared, folder, commit=commit)


def _is_first_process() -> bool:
    """Whether this is the process that writes; Lightning, torchrun and Slurm number the others in these."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def _validation_split(config: Config) -> Any:
    if "val" not in corpus.split_names(config.data):
        raise DataError("the data has no `val` split; give data.files.val, or data.held_out.val=1000")
    split = open_scored(config, "val")
    if not len(split):
        raise DataError("the `val` split has no lines; give it some, or cut them with data.held_out.val")
    return split


def _say_what_is_trained(config: Config, prepared: Prepared, folder: Path) -> None:
    report, data = prepared.report, config.data
    console.note(f"run: {folder}")
    console.note(
        f"data: {report.n_kept:,} of {report.n_pairs:,} training pairs, "
        f"{data.source_language} → {data.target_language}, prepared in {prepared.folder}"
    )
    for what, number, lines in report.rows():
        console.note(f"    {what}: {number} (lines {lines}{' …' if int(number) > 10 else ''})")
    if prepared.vocabulary_message:
        console.note(prepared.vocabulary_message)


def fit(
    module: TranslationModule, data: TranslationData, folder: Path, *, watchers: Sequence[Callback] = ()
) -> None:
    """Run the training loop, from where the run in `folder` stands; `watchers` see each step last."""
    config = module.config
    checkpoints = folder / "checkpoints"
    saver = SaveForResuming(checkpoints / LAST, 60 * config.train.checkpoint_minutes)
    callbacks: list[Callback] = [Accounting()]
    if config.train.ema_decay is not None:
        callbacks.append(MovingAverage(config.train.ema_decay))
    callbacks += [
        ShowProgress(config.validation.n_samples),
        KeepBest(checkpoints),
        saver,
    ]
    if config.validation.patience is not None:
        callbacks.append(EarlyStopping("val_bleu", mode="max", patience=config.validation.patience))
    callbacks += watchers
    last = saver.path if saver.path.is_file() or (checkpoints / PREVIOUS).is_file() else None
    if last is None and config.train.embedding_init == "counts":
        weight = module.model.embedding.weight
        with torch.no_grad():
            weight.copy_(count_embeddings(data.prepared.train, *weight.shape))
    with _quiet_lightning():
        trainer = Trainer(
            **_hardware_flags(config),
            plugins=[WholeCheckpoints()],
            max_epochs=-1,  # one endless epoch; `TranslationModule.account` stops it
            accumulate_grad_batches=config.train.accumulate,
            gradient_clip_val=config.train.clip_norm,
            val_check_interval=config.validation.every_steps * config.train.accumulate,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            callbacks=callbacks,
            logger=_loggers(folder),
            log_every_n_steps=10,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        with _first_interrupt(lambda: setattr(saver, "stop_requested", True)):
            try:
                trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)
            except StopRequestedError:
                console.note(
                    f"stopped at step {module.progress.steps:,} and saved; "
                    "the same command with --resume goes on from here"
                )
                raise KeyboardInterrupt from None
            except SystemExit:  # what Lightning makes of a second Ctrl-C
                raise KeyboardInterrupt from None


def _hardware_flags(config: Config) -> dict[str, Any]:
    hardware = config.hardware
    return {
        "accelerator": hardware.accelerator,
        "devices": hardware.devices,
        "num_nodes": hardware.n_nodes,
        "strategy": hardware.strategy,
        "precision": choose_precision(hardware.precision, hardware.accelerator),
    }


def _check_hardware(config: Config) -> None:
    """Refuse what is not there before anything is written."""
    if config.hardware.kernels == "c" and kernels.library() is None:
        raise TrainingError(
            f"hardware.kernels=c: {kernels.problem()}; install a C compiler, name it in $CC, or set "
            "hardware.kernels=auto"
        )
    try:
        with _quiet_lightning():
            Trainer(**_hardware_flags(config), logger=False, enable_checkpointing=False)
    except (MisconfigurationException, ValueError, ImportError) as error:
        raise TrainingError(f"hardware: {str(error).splitlines()[0]} Change the hardware section") from None


def choose_precision(wanted: str, accelerator: str) -> Any:
    """Return Lightning's precision flag; `auto` is bfloat16 where the device multiplies it itself."""
    if wanted != "auto":
        return wanted
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available())
    return "bf16-mixed" if on_cpu and multiplies_bfloat16() else "32-true"


def _loggers(folder: Path) -> list[Logger]:
    csv_log = CSVLogger(folder, name="logs")  # a new version_N each session, so that none is overwritten
    try:
        return [csv_log, TensorBoardLogger(folder, name="logs", version=f"version_{csv_log.version}")]
    except ModuleNotFoundError:
        console.note("no TensorBoard log: it comes with pip install 'passerelle[logs]'")
        return [csv_log]


def _draw(folder: Path) -> None:
    if not draw_curves(
        sorted(folder.glob("logs/version_*/metrics.csv"), key=_version), folder / "curves.png"
    ):
        console.note("no curves.png: it comes with pip install 'passerelle[logs]'")


def _version(log: Path) -> int:
    return int(log.parent.name.removeprefix("version_"))


@contextmanager
def _quiet_lightning() -> Iterator[None]:
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


@contextmanager
def _first_interrupt(request: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C ask for a stop between two steps; a second one stops at once."""

    def handle(signum: int, frame: FrameType | None) -> None:
        request()
        console.note("stopping after this step … (Ctrl-C again stops at once, without saving)")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread: no signals here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
