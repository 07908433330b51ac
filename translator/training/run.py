"""A training run from its configuration to a finished model folder.

runs/<name>/config.yaml              the whole configuration
           /data.json                what the data and the vocabulary are recognised by
           /checkpoints/last.ckpt    to go on from, at least every minute
           /checkpoints/previous.ckpt  the one before it, should it be damaged
           /checkpoints/best.ckpt    the best validation BLEU
           /logs/version_N/          CSV (and TensorBoard) logs, one a session
           /curves.png
           /session.json             who trains, or did last
           /model/                   the model folder; a run is finished when it has a manifest
"""

import csv
from collections.abc import Sequence
from contextlib import ExitStack
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
from translator.building import build_model, n_parameters
from translator.config import Config, RunConfig
from translator.config.file import config_to_yaml
from translator.data import corpus
from translator.data.preparation import Prepared, check_strict, open_scored, prepare
from translator.engine import native
from translator.engine.runtime import cap_onednn_cache, multiplies_bfloat16, tune_malloc
from translator.errors import DataError, TrainingError
from translator.files import atomic_write
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
from translator.training.data_record import check_same_data, record_data
from translator.training.embedding_init import count_embeddings
from translator.training.finalize import finish, git_commit
from translator.training.lock import one_writer
from translator.training.module import TranslationModule
from translator.training.process_state import only_training, process_state_kept, quiet_lightning
from translator.training.processes import (
    Processes,
    find_processes,
    only_launched,
    told_to_other_processes,
)
from translator.training.run_dir import check_unfinished, remove_partial_files_of_run, run_dir
from translator.training.stopping import StopSignals


def train(config: Config, *, name: str, resume: bool = False) -> Path | None:
    """Train a model and write its folder.

    Args:
        config: what to train, on what, for how long.
        name: of the run, where `run.name` gives none.
        resume: go on in the newest unfinished run of that name.

    Returns:
        The model folder; None in every process but the first, where there are several.

    Raises:
        DataError: the corpus cannot be read.
        TrainingError: there is no such run to resume, it was of another configuration or of other data, the
            hardware is not there, the process is training already, or the training went wrong.
        KeyboardInterrupt: Ctrl-C; the state of training is saved where it was pressed once.
        SystemExit: SIGTERM or SIGHUP, once the state of training is saved.
    """
    name = config.run.name or name
    try:
        RunConfig(name=name)
    except ValueError:
        raise TrainingError(f"run.name={name!r} names no folder; give one without / and blanks") from None
    with only_training():
        tune_malloc()
        processes = find_processes(config.hardware)
        with only_launched(processes), process_state_kept():
            cap_onednn_cache()
            return _train(config, name, resume, processes)


def _train(config: Config, name: str, resume: bool, processes: Processes) -> Path | None:
    commit = git_commit()  # now: the files may change while it trains
    if config.hardware.threads is not None:
        torch.set_num_threads(config.hardware.threads)
    _check_hardware(config, processes)
    prepared = prepare(config)
    check_strict(config, prepared.report)
    validation = _validation_split(config)
    with ExitStack() as stack:
        folder = None
        if processes.is_first:
            folder = run_dir(config, name, resume)
            check_same_data(folder, prepared)
            stack.enter_context(one_writer(folder))
            check_unfinished(folder)
            _say_what_is_trained(config, prepared, folder)
            record_data(folder, prepared)
            remove_partial_files_of_run(folder)
            atomic_write(folder / "config.yaml", config_to_yaml(config).encode())
        folder = stack.enter_context(told_to_other_processes(folder, processes))
        torch.manual_seed(config.train.seed)
        module = TranslationModule(build_model(config.model, len(prepared.tokenizer)), config)
        if processes.is_first:
            pieces = f"{len(prepared.tokenizer):,} pieces"
            console.note(f"model: {n_parameters(module.model):,} parameters, {pieces}")
        fit(module, TranslationData(config, prepared, validation), folder, cluster=processes.cluster())
        if not processes.is_first:
            return None
        _draw(folder)
        return finish(config, prepared, folder, commit=commit)


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
    for message in report.messages():
        console.note(f"    {message}")
    if prepared.vocabulary_message:
        console.note(prepared.vocabulary_message)
    hardware = config.hardware
    if (hardware.precision, hardware.accelerator) == ("bf16-mixed", "cpu") and not multiplies_bfloat16():
        console.note("hardware.precision: this CPU multiplies bfloat16 very slowly; 32-true is quicker")


def fit(
    module: TranslationModule,
    data: TranslationData,
    folder: Path,
    *,
    watchers: Sequence[Callback] = (),
    cluster: ClusterEnvironment | None = None,
) -> None:
    """Run the training loop, from where the run in `folder` stands.

    Args:
        module: what is trained.
        data: what on.
        folder: of the run.
        watchers: see each step last.
        cluster: who started this process; None: nobody beside it.
    """
    config = module.config
    checkpoints = folder / "checkpoints"
    saver = SaveForResuming(checkpoints / LAST, 60 * config.train.checkpoint_minutes)
    signals = StopSignals(saver)
    callbacks: list[Callback] = [signals, Accounting()]
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
    with quiet_lightning():
        trainer = Trainer(
            **_hardware_flags(config),
            plugins=[WholeCheckpoints(), cluster or LightningEnvironment()],
            max_epochs=-1,  # one endless epoch; `TranslationModule.record_step` stops it
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
        with signals:
            try:
                trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)
            except StopRequestedError:
                if not trainer.is_global_zero:  # Lightning kills the first process where another one fails
                    return
                console.note(
                    f"stopped at step {module.progress.steps:,} and saved; "
                    "the same command with --resume goes on from here"
                )
                signals.raise_signal()
            except SystemExit:  # what Lightning makes of a second Ctrl-C, or of a SIGTERM at its very start
                signals.raise_signal()
            finally:
                module.teardown("fit")  # Lightning leaves it out after an exception


def _hardware_flags(config: Config) -> dict[str, Any]:
    hardware = config.hardware
    return {
        "accelerator": hardware.accelerator,
        "devices": hardware.devices,
        "num_nodes": hardware.n_nodes,
        "strategy": hardware.strategy,
        "precision": choose_precision(hardware.precision, hardware.accelerator),
    }


def _check_hardware(config: Config, processes: Processes) -> None:
    """Refuse what is not there before anything is written."""
    if config.hardware.backend == "native" and native.load_native() is None:
        raise TrainingError(
            f"hardware.backend=native: {native.problem()}; install a C compiler, name it in $CC, or set "
            "hardware.backend=auto"
        )
    try:
        with quiet_lightning():
            trainer = Trainer(
                **_hardware_flags(config),
                plugins=[processes.cluster()],
                logger=False,
                enable_checkpointing=False,
            )
    except (MisconfigurationException, ValueError, ImportError) as error:
        raise TrainingError(f"hardware: {str(error).splitlines()[0]} Change the hardware section") from None
    n_asked = trainer.num_devices * trainer.num_nodes
    if processes.launcher and n_asked != processes.n_started:
        raise TrainingError(
            f"hardware.devices={config.hardware.devices}, hardware.n_nodes={config.hardware.n_nodes}: "
            f"{processes.launcher} started {processes.n_started} processes; set the first to those of "
            f"each machine, the second to the machines, or start one process without {processes.launcher}"
        )


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
    logs = folder.glob("logs/version_*/metrics.csv")
    numbered = {int(log.parent.name[8:]): log for log in logs if log.parent.name[8:].isdecimal()}
    try:
        if not draw_curves([numbered[n] for n in sorted(numbered)], folder / "curves.png"):
            console.note("no curves.png: it comes with pip install 'passerelle[logs]'")
    except (OSError, ValueError, TypeError, csv.Error) as error:  # a log that a power cut tore
        console.note(f"no curves.png: a metrics.csv below {folder / 'logs'} is damaged ({error})")
