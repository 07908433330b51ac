"""A training run, from the configuration to the finished model folder. A run folder contains:

runs/<name>/config.yaml                complete configuration
           /data.json                  fingerprints of the data and the vocabulary
           /initial/                   copy of the model from which the run started, if there is one
           /checkpoints/last.ckpt      checkpoint to resume from, written at least every minute
           /checkpoints/previous.ckpt  fallback in case last.ckpt is damaged
           /checkpoints/best.ckpt      checkpoint with the best validation BLEU
           /logs/version_N/            CSV (and TensorBoard) logs, one folder per session
           /film.json                  translations of three sentences at moments of the training
           /curves.png                 training curves
           /session.json               lock file that names the training process
           /model/                     model folder; the run is finished once it contains a manifest
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from translator import console
from translator.building import build_model, n_parameters
from translator.config import Config, DataConfig, RunConfig
from translator.config.file import config_to_yaml
from translator.data import corpus
from translator.data.mixing import mix_messages
from translator.data.preparation import Prepared, check_strict, open_evaluation_split, prepare
from translator.data.vocabulary_fit import FIT, describe_fit, vocabulary_fit
from translator.engine.memory import cap_onednn_cache, tune_malloc
from translator.engine.runtime import multiplies_bfloat16
from translator.errors import DataError, TrainingError
from translator.files import atomic_write
from translator.initial_model import initial_folder, load_initial_model
from translator.model_folder import LoadedModel, copy_model_folder
from translator.training.data import TranslationData
from translator.training.data_record import (
    batches_to_accumulate,
    check_same_data,
    record_data,
    vocabulary_digest,
)
from translator.training.finalize import finalize, git_commit
from translator.training.lock import run_lock
from translator.training.module import TranslationModule
from translator.training.peers import Peers
from translator.training.process_state import exclusive_training, preserve_process_state
from translator.training.processes import (
    Processes,
    find_processes,
    folder_for_children,
    launcher_environment,
    with_launched,
)
from translator.training.run_dir import (
    INITIAL,
    check_unfinished,
    initial_model_of,
    remove_partial_files_of_run,
    run_dir,
    unfinished_run,
)
from translator.training.trainer import check_hardware, fit


def train(config: Config, *, name: str, resume: bool = False) -> Path | None:
    """Train a model and write its model folder.

    Args:
        config: configuration of the run.
        name: name of the run if `run.name` is not set.
        resume: whether to resume the most recently trained unfinished run of that name.

    Returns:
        The model folder. In distributed training, all processes except the first return None instead.

    Raises:
        ConfigError: the configuration does not fit the model that `train.init_from` names.
        DataError: the corpus cannot be read.
        ModelError: the model that `train.init_from` names is missing or damaged.
        TrainingError: there is no run to resume, its configuration or data have changed, the hardware does
            not exist, this process is already training, or the training diverged.
        KeyboardInterrupt: Ctrl-C was pressed. Unless it was pressed twice, a checkpoint was saved.
        SystemExit: SIGTERM or SIGHUP was received, and a checkpoint was saved.
    """
    name = config.run.name or name
    try:
        RunConfig(name=name)
    except ValueError:
        raise TrainingError(f"run.name={name!r} is not a folder name; use one without / and spaces") from None
    with exclusive_training():
        tune_malloc()
        processes = find_processes(config.hardware)
        with launcher_environment(processes), preserve_process_state():
            cap_onednn_cache()
            return _train(config, name, resume, processes)


def _train(config: Config, name: str, resume: bool, processes: Processes) -> Path | None:
    commit = git_commit()  # read now, because the source files may change during training
    hardware = with_launched(config.hardware, processes)
    if hardware.threads is not None:
        torch.set_num_threads(hardware.threads)
    n_processes = check_hardware(hardware, processes)
    with ExitStack() as stack:
        peers = stack.enter_context(Peers(processes, timeout_seconds=hardware.timeout_seconds))
        root = Path(config.run.root).expanduser()
        peers.check_shared(root)
        start = _initial_folder(config, name, resume)
        config, initial = load_initial_model(config, start)
        prepared = peers.first_then_others(lambda: prepare(config, initial.tokenizer if initial else None))
        check_strict(config.data, prepared.report, seed=config.train.seed)
        validation = _validation_split(config.data, seed=config.train.seed)
        peers.check_equal(_facts(config, prepared))
        folder = processes.folder
        if processes.is_first:
            folder = run_dir(config, name, resume)
            check_same_data(folder, prepared)
            stack.enter_context(run_lock(folder))
            check_unfinished(folder)
            _print_summary(config, prepared, folder, initial)
            _write_start(config, prepared, folder, None if resume else start, n_processes=n_processes)
        folder = root / peers.gather("run", folder and folder.name)[0]
        stack.enter_context(folder_for_children(folder, processes))
        accumulate = batches_to_accumulate(folder, config.train.accumulate, n_processes=n_processes)
        launched = config.model_copy(
            update={
                "hardware": hardware,
                "train": config.train.model_copy(update={"accumulate": accumulate}),
            }
        )
        torch.manual_seed(config.train.seed)
        module = TranslationModule(build_model(config.model, len(prepared.tokenizer)), launched)
        if initial is not None:
            module.model.load_state_dict(initial.model.state_dict())
        if processes.is_first:
            pieces = f"{len(prepared.tokenizer):,} pieces"
            frozen = f"; frozen: {', '.join(config.train.freeze)}" if config.train.freeze else ""
            console.note(f"model: {n_parameters(module.model):,} parameters, {pieces}{frozen}")
        data = TranslationData(launched, prepared, validation)
        peers.close()
        fit(module, data, folder, cluster=processes.cluster())
        if not processes.is_first:
            return None
        return finalize(config, prepared, folder, commit=commit, initial=initial)


def _facts(config: Config, prepared: Prepared) -> dict[str, Any]:
    """Return what has to be the same in all processes of a training."""
    places: Any = {
        "hardware": True,
        "run": {"root"},
        "data": {"root": True, "cache": True, "sources": {"__all__": {"root"}}},
    }
    sections = config.model_dump(mode="json", exclude=places)
    keys = {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}
    return keys | prepared.fingerprints | {"the vocabulary": vocabulary_digest(prepared)}


def _write_start(
    config: Config, prepared: Prepared, folder: Path, start: Path | None, *, n_processes: int
) -> None:
    """Write to the run folder what the training starts from: data, initial model and configuration."""
    record_data(folder, prepared, batches_per_step=n_processes * config.train.accumulate)
    remove_partial_files_of_run(folder)
    if start is not None:
        copy_model_folder(start, folder / INITIAL)
    atomic_write(folder / "config.yaml", config_to_yaml(config).encode())


def _initial_folder(config: Config, name: str, resume: bool) -> Path | None:
    """Return the folder of the initial model or, for a run to resume, the copy of it in the run folder."""
    if not resume:
        return initial_folder(config)
    run = unfinished_run(Path(config.run.root).expanduser(), name)
    return initial_model_of(run, config.train.init_from)


def _validation_split(data: DataConfig, *, seed: int) -> Any:
    if "val" not in corpus.split_names(data):
        raise DataError("the data has no `val` split; give data.files.val, or data.held_out.val=1000")
    split = open_evaluation_split(data, "val", seed=seed)
    if not len(split):
        raise DataError("the `val` split has no lines; add some, or hold some out with data.held_out.val")
    return split


def _print_summary(config: Config, prepared: Prepared, folder: Path, initial: LoadedModel | None) -> None:
    report, data = prepared.report, config.data
    console.note(f"run: {folder}")
    console.note(
        f"data: {report.n_kept:,} of {report.n_pairs:,} training pairs, "
        f"{data.direction}, prepared in {prepared.folder}"
    )
    for message in report.messages():
        console.note(f"    {message}")
    for message in mix_messages(prepared.lengths, prepared.shares):
        console.note(f"    {message}")
    if prepared.vocabulary_message:
        console.note(prepared.vocabulary_message)
    if initial is not None:
        train = config.train
        fits = vocabulary_fit(prepared.tokenizer, prepared.texts)
        console.note(describe_fit(fits, data, initial.manifest.get(FIT)))
        console.note(
            f"initial weights: {train.init_from}; learning rate at most "
            f"{train.init_rate_factor:g} · {train.learning_rate:g}"
        )
    hardware = config.hardware
    if (hardware.precision, hardware.accelerator) == ("bf16-mixed", "cpu") and not multiplies_bfloat16():
        console.note("hardware.precision: this CPU multiplies bfloat16 very slowly; 32-true is faster")
