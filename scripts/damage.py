"""Faults for scripts/faults.py: damaged input files, and weights that are nan or infinite."""

import hashlib
import io
import json
import os
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from trials import Trials

from translator.config.file import load_config
from translator.data import corpus
from translator.data.preparation import prepare
from translator.files import sha256
from translator.model_folder import CONFIG, MANIFEST, TOKENIZER, WEIGHTS, load_model_folder
from translator.training.checkpoint import LAST, PREVIOUS, ChecksummedCheckpointIO


def digest(thing: object) -> str:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return hashlib.sha256(buffer.getbuffer()).hexdigest()


def model_in(folder: Path) -> str:
    found = load_model_folder(folder)
    return digest([found.model.state_dict(), found.tokenizer.model, found.config.to_json()])


def damage_model(trials: Trials, number: int) -> str:
    trials.fresh("runs")
    model = trials.run / "model"
    trials.damage(model / (WEIGHTS, TOKENIZER, CONFIG, MANIFEST)[number % 4])
    return trials.outcome_of_reading(
        partial(model_in, model), lambda: {model_in(trials.calm / "runs" / "small" / "model")}
    )


def damage_checkpoint(trials: Trials, number: int) -> str:
    trials.fresh("stopped")
    checkpoints, before = (
        runs / "small" / "checkpoints" for runs in (trials.here / "runs", trials.calm / "stopped")
    )
    if number % 2:  # leave no checkpoint to fall back to
        (checkpoints / PREVIOUS).unlink(missing_ok=True)
    trials.damage(checkpoints / LAST)

    def read(path: Path) -> str:
        return digest(ChecksummedCheckpointIO().load_checkpoint(path))

    return trials.outcome_of_reading(
        partial(read, checkpoints / LAST), lambda: {read(before / LAST), read(before / PREVIOUS)}
    )


def damage_run(trials: Trials, number: int) -> str:
    trials.fresh("cache", "stopped")
    names = ("checkpoints/last.ckpt", "checkpoints/best.ckpt", "data.json", "config.yaml")
    trials.damage(trials.run / names[number % len(names)])
    return trials.resume()


def prepared_in(cache: Path, config: Path) -> str:
    settings = load_config(config, [f"data.cache={cache}"])
    found = prepare(settings)
    others = [corpus.open_split(settings.data, name, seed=1)[:] for name in ("val", "test")]
    return digest([found.train[:], found.texts[:], others, tuple(found.lengths), found.tokenizer.model])


def damage_cache(trials: Trials, number: int) -> str:
    here = trials.fresh("cache")
    files = sorted(path for path in (here / "cache").rglob("*") if path.is_file())
    trials.damage(trials.random.choice(files))
    config = here / "small.yaml"
    return trials.outcome_of_reading(
        lambda: prepared_in(here / "cache", config), lambda: {prepared_in(trials.calm / "cache", config)}
    )


#: Commands that need a model, with their other arguments.
USES = (
    *(
        "translate Bonjour.",
        "score --source corpus/test.fr --target corpus/test.en",
        "evaluate",
        "serve --port 0",
    ),
    *(
        "align --source corpus/test.fr --target corpus/test.en",
        "explain Bonjour. --output a.html",
        "export out",
    ),
)


def spoil_model(trials: Trials, number: int) -> str:
    here, model = trials.fresh("cache", "runs"), trials.run / "model"
    weights = safetensors.torch.load((model / WEIGHTS).read_bytes())
    spoil(trials, weights)
    (model / WEIGHTS).write_bytes(safetensors.torch.save(weights))
    manifest = json.loads((model / MANIFEST).read_text())
    manifest["sha256"][WEIGHTS] = sha256(model / WEIGHTS)
    (model / MANIFEST).write_text(json.dumps(manifest))
    command = [*USES[number % len(USES)].split(), "--model", model]
    return trials.start(*command, before=lambda: os.chdir(here)).wait(60).failure() or "SILENTLY WRONG"


def spoil_checkpoint(trials: Trials, number: int) -> str:
    trials.fresh("cache", "stopped")
    path = trials.run / "checkpoints" / LAST
    checkpoint = torch.load(path, weights_only=True)
    spoil(trials, checkpoint["state_dict"])
    torch.save(checkpoint, path)
    return trials.resume()


def spoil(trials: Trials, weights: dict[str, torch.Tensor]) -> None:
    values = weights[trials.random.choice(sorted(weights))].view(-1)
    values[trials.random.randrange(len(values))] = trials.random.choice(
        (float("nan"), float("inf"), -float("inf"))
    )


def train_too_fast(trials: Trials, number: int) -> str:
    trials.fresh("cache")
    rate = (1e6, 1e12, 1e24, 1e38)[number % 4]
    process = trials.start("train", f"train.learning_rate={rate:g}").wait()
    words = ("translate", "Bonjour.", "--model", trials.run / "model")
    return process.failure() or trials.start(*words).wait().failure() or "a model that translates"
