"""The end of a run: the best checkpoint becomes a model folder with test scores, and the logs a picture."""

import csv
import os
import shutil
import subprocess
import tomllib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from translator import console
from translator.config import Config
from translator.data import corpus
from translator.data.preparation import Prepared, open_evaluation_split
from translator.data.vocabulary_fit import FIT, vocabulary_fit
from translator.errors import TrainingError
from translator.evaluation.metrics import sentence_chrf
from translator.files import atomic_write
from translator.model_folder import LoadedModel, load_unfinished, save_weights, write_manifest
from translator.training.checkpoint import BEST, LAST, STATE, check_vocabulary, read_checkpoint
from translator.training.curves import plot_curves
from translator.training.data_record import vocabulary_digest
from translator.translation.calibration import calibrate
from translator.translation.confidence import CONFIDENCE
from translator.translation.evaluator import Evaluation, evaluate
from translator.translation.heads import HEADS, name_heads
from translator.translation.inference import Translator
from translator.translation.splitting import SHARE, learnt_single_sentences

#: The folder of the package `translator`.
PACKAGE = Path(__file__).resolve().parent.parent
#: Maximum number of lines of the validation split by which the finished model is measured.
MAX_LINES = 5000


def finalize(
    config: Config,
    prepared: Prepared,
    folder: Path,
    *,
    commit: str | None,
    initial: LoadedModel | None = None,
) -> Path:
    """Write the model folder from the best checkpoint. If there is a test split, score the model on it.

    The manifest is written last, because its existence marks the run as finished. If training started from a
    model, its weights are averaged with the trained ones (`train.init_average`), it is scored as well, and
    the manifest records the SHA-256 of its files.

    Raises:
        TrainingError: the best checkpoint cannot be read, or was written with another vocabulary.
    """
    try:
        best = read_checkpoint(folder / "checkpoints" / BEST)
    except TrainingError as error:
        raise TrainingError(
            f"{error}; the same command with --resume continues from {LAST} and keeps the best from there on"
        ) from None
    check_vocabulary(best, vocabulary_digest(prepared))
    weights = {
        name.removeprefix("model."): tensor.float()  # float64 with 64-true
        for name, tensor in best["state_dict"].items()
        if name.startswith("model.")
    }
    if initial is not None:
        before, fraction = initial.model.state_dict(), config.train.init_average
        weights = {name: tensor.lerp(before[name], fraction) for name, tensor in weights.items()}
    model_folder = folder / "model"
    save_weights(model_folder, weights, prepared.tokenizer, config)
    trained = load_unfinished(model_folder, {SHARE: prepared.multi_sentence_share})
    trained.manifest.update(_measured(config, trained))
    scores, lines = _test(config, trained, initial, folder)
    _draw(folder, scores)
    facts = {**_provenance(config, prepared, best, initial), **trained.manifest}
    write_manifest(model_folder, {**facts, "git_commit": commit, "scores": scores})
    if lines:  # printed last, so that nothing else fails if stdout is closed
        print("\n".join(lines), flush=True)
    console.note(f"finished: {model_folder}")
    return model_folder


def _provenance(
    config: Config, prepared: Prepared, best: dict[str, Any], initial: LoadedModel | None
) -> dict[str, Any]:
    """Return what the manifest says of a training and its data, given the best checkpoint."""
    progress, fits = best[STATE]["progress"], vocabulary_fit(prepared.tokenizer, prepared.texts)
    return {
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "source_language": config.data.source_language,
        "target_language": config.data.target_language,
        "weights": {
            "of_step": progress["steps"],
            "averaged": config.train.ema_decay is not None,
            "val_bleu": _best_score(best),
        },
        "trained": progress,
        "seed": config.train.seed,
        "computed_with": best[STATE].get("computed_with"),
        "initial_model": initial and {"folder": config.train.init_from, "sha256": initial.manifest["sha256"]},
        "data": prepared.fingerprints,
        "data_report": asdict(prepared.report),
        FIT: {side: asdict(fit) for side, fit in fits.items()},
    }


def _test(
    config: Config, trained: LoadedModel, initial: LoadedModel | None, folder: Path
) -> tuple[dict[str, Any], list[str]]:
    """Score the trained and the initial model on the test split, and write the former's translations.

    Returns:
        The scores for the manifest, and lines to print. Both are empty if there is no test split.
    """
    if "test" not in corpus.split_names(config.data):
        return {}, []
    split = open_evaluation_split(config.data, "test", seed=config.train.seed)
    sources, references = list(split["source"]), list(split["target"])
    origins = corpus.origins(config.data, "test", seed=config.train.seed)
    console.note(f"testing {len(sources):,} lines …")

    def evaluation_of(loaded: LoadedModel) -> Evaluation:
        return evaluate(_translator_of(loaded), sources, references, origins=origins)

    after = evaluation_of(trained)
    text = "".join(f"{line}\n" for line in after.hypotheses)
    atomic_write(folder / "test.hypotheses.txt", text.encode())
    scores, lines = {"test": after.to_dict()}, after.lines("test")
    if initial is not None:
        before = evaluation_of(initial)
        scores["test_before"] = before.to_dict()
        of_parts = {"": before.scores["bleu"], **before.by_origin}
        listed = ", ".join(f"{name} {score.score:.2f}".strip() for name, score in of_parts.items())
        lines.append(f"before, with {config.train.init_from}: BLEU {listed}")
    return scores, lines


def _measured(config: Config, trained: LoadedModel) -> dict[str, Any]:
    """Return what the validation split tells of a model: its calibration and the names of its heads."""
    split, n_threads = corpus.open_split(config.data, "val", seed=config.train.seed), torch.get_num_threads()
    sources, references = list(split["source"][:MAX_LINES]), list(split["target"][:MAX_LINES])
    translator = _translator_of(trained)
    translations = translator.translate(sources)
    calibration = calibrate(translations, sentence_chrf([each.text for each in translations], references))
    torch.set_num_threads(1)  # threads would wait for each other longer than they compute
    try:
        heads = name_heads(translator, sources, references)
    finally:
        torch.set_num_threads(n_threads)
    return {CONFIDENCE: None if calibration is None else asdict(calibration), HEADS: heads}


def _translator_of(loaded: LoadedModel) -> Translator:
    splits = learnt_single_sentences(loaded.manifest.get(SHARE))
    return Translator(
        loaded, loaded.tokenizer, loaded.config, splits_sentences=splits, manifest=loaded.manifest
    )


def _draw(folder: Path, scores: dict[str, Any]) -> None:
    logs = folder.glob("logs/version_*/metrics.csv")
    numbered = {int(log.parent.name[8:]): log for log in logs if log.parent.name[8:].isdecimal()}
    test_bleu = scores["test"]["bleu"]["score"] if scores else None
    try:
        if not plot_curves(
            [numbered[n] for n in sorted(numbered)],
            folder / "curves.png",
            name=folder.name,
            test_bleu=test_bleu,
        ):
            console.note("no curves.png: it needs pip install 'passerelle[logs]'")
    except (OSError, ValueError, TypeError, csv.Error) as error:  # a power cut may truncate a log
        console.note(f"no curves.png: a metrics.csv below {folder / 'logs'} is damaged ({error})")


def _best_score(checkpoint: dict[str, Any]) -> float | None:
    for name, state in checkpoint["callbacks"].items():
        if name.startswith("KeepBest") and state["best_model_score"] is not None:
            return float(state["best_model_score"])
    return None


def git_commit(package: Path = PACKAGE) -> str | None:
    """Return the commit of the running code, with `-dirty` appended if the work tree has changes.

    Args:
        package: the folder of the package `translator`.

    Returns:
        The commit, or None if git is not installed or the package does not lie in a git work tree of this
        project. An installed package may lie inside another repository, whose commit would say nothing
        about the code.
    """
    root = package.parent
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError):
        return None
    if not isinstance(project, dict) or project.get("name") != "passerelle":
        return None
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or not Path(top).samefile(root):
        return None
    if _git(root, "ls-files", "--error-unmatch", f"{package.name}/__init__.py") is None:
        return None
    return _git(root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    """Run git in a folder and return its output, or None if git fails, prints nothing or is not installed.

    Environment variables such as GIT_DIR, which git hooks set, are not passed on to git.
    """
    git = shutil.which("git")
    if git is None:
        return None
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    process = subprocess.run(
        [git, "-C", str(folder), *arguments], capture_output=True, check=False, env=variables
    )
    return os.fsdecode(process.stdout).strip() or None if process.returncode == 0 else None
