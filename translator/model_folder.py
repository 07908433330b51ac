"""The model folder: all files needed for translation, none of which is pickled.

    model.safetensors   the weights
    tokenizer.model     the SentencePiece model
    config.json         the complete training configuration
    manifest.json       the format version, the SHA-256 of the other files, provenance and scores

Because the manifest is written last, a folder that has a manifest is complete.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from translator.config import Config, ModelConfig
from translator.config.file import config_from_json
from translator.data.tokenizer import Tokenizer
from translator.errors import ConfigError, ModelError, is_out_of_memory
from translator.files import atomic_write, sha256

if TYPE_CHECKING:
    from torch import Tensor

    from translator.model.transformer import Transformer

FORMAT_VERSION = 1
WEIGHTS, TOKENIZER, CONFIG, MANIFEST = "model.safetensors", "tokenizer.model", "config.json", "manifest.json"

#: Part of error messages about tensors that have NaN or infinite values.
NOT_FINITE = "values that are not finite (nan or inf)"

#: Packages whose versions are recorded in the manifest.
PACKAGES = ("passerelle", "torch", "lightning", "datasets", "sentencepiece", "sacrebleu")


@dataclass(frozen=True)
class LoadedModel:
    """The contents of a model folder. Only `model` needs torch."""

    weights: dict[str, NDArray[Any]]
    tokenizer: Tokenizer
    config: Config
    manifest: dict[str, Any]

    @cached_property
    def model(self) -> "Transformer":
        """The model, in evaluation mode. It is built on first use."""
        import torch

        from translator.building import build_model

        model = build_model(self.config.model, len(self.tokenizer))
        model.load_state_dict({name: torch.from_numpy(value) for name, value in self.weights.items()})
        return model.eval()


def save_weights(folder: Path, weights: "dict[str, Tensor]", tokenizer: Tokenizer, config: Config) -> None:
    """Write all files of a model folder except the manifest. The folder may already exist.

    Raises:
        ModelError: a weight is not finite. In that case, nothing is written.
    """
    arrays = {name: np.ascontiguousarray(tensor.detach().cpu().numpy()) for name, tensor in weights.items()}
    if name := _not_finite(arrays):
        raise ModelError(f"{folder}: not written: {name} has {NOT_FINITE}; the training diverged")
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / WEIGHTS, safetensors.numpy.save(arrays))
    atomic_write(folder / TOKENIZER, tokenizer.model)
    atomic_write(folder / CONFIG, config.to_json().encode())


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write the manifest, which includes `facts`. The other files of the folder must already exist."""
    manifest = {
        "format_version": FORMAT_VERSION,
        **facts,
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "sha256": {name: sha256(folder / name) for name in (WEIGHTS, TOKENIZER, CONFIG)},
    }
    atomic_write(folder / MANIFEST, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a model folder.

    Raises:
        ModelError: there is no manifest, it cannot be read, or its format version is not `FORMAT_VERSION`.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        why = "it is a file" if folder.is_file() else f"it has no {MANIFEST}"
        why = why if folder.exists() else "it does not exist"
        raise ModelError(
            f"{folder}: not a model folder: {why}; give the `model` folder of a finished run"
        ) from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}; make the file readable") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged: {error}; train again or fetch the folder again") from None
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise ModelError(f"{path}: format version {version}, but this program reads {FORMAT_VERSION}")
    return dict(manifest)


def load_model_folder(folder: Path) -> LoadedModel:
    """Load a model folder, after verifying each file against its SHA-256 in the manifest.

    Raises:
        ModelError: a file is missing, damaged or inconsistent with the others, or a weight is not finite. The
            message names the file.
    """
    manifest = read_manifest(folder)
    hashes = manifest.get("sha256")
    for name in (WEIGHTS, TOKENIZER, CONFIG):
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{path}: missing; fetch the folder again")
        if not isinstance(hashes, dict) or sha256(path) != hashes.get(name):
            raise ModelError(f"{path}: damaged: its SHA-256 is not in the manifest; fetch the folder again")
    return load_unfinished(folder, manifest)


def load_unfinished(folder: Path, manifest: dict[str, Any] | None = None) -> LoadedModel:
    """Load a folder that need not have a manifest yet.

    Raises:
        ModelError: a file is damaged or inconsistent with the others, or a weight is not finite.
    """
    try:
        config = config_from_json((folder / CONFIG).read_bytes(), where=str(folder / CONFIG))
    except ConfigError as error:
        raise ModelError(f"{error} (if a newer version wrote the folder, update)") from None
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    weights = read_weights(folder / WEIGHTS)
    problem = _misfit(weights, weight_shapes(config.model, len(tokenizer)))
    if problem is not None:
        raise ModelError(f"{folder / WEIGHTS}: does not fit {CONFIG}: {problem}")
    if name := _not_finite(weights):
        raise ModelError(
            f"{folder / WEIGHTS}: {name} has {NOT_FINITE}, so the model cannot translate; use another model"
        )
    return LoadedModel(weights, tokenizer, config, manifest or {})


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file in the format safetensors, by name. Raises ModelError if it is damaged."""
    try:
        return safetensors.numpy.load(path.read_bytes())
    except (SafetensorError, KeyError) as error:  # KeyError: a type that numpy lacks
        if is_out_of_memory(error):
            raise
        raise ModelError(f"{path}: cannot be read: {error}; fetch the folder again") from None


def weight_shapes(config: ModelConfig, vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    """Return the name and the shape of each weight of a model, without building the model."""
    width, inner = config.width, config.feed_forward
    linear = {  # (inputs, outputs)
        "self_attention.query": (width, width),
        "self_attention.key_value": (width, 2 * width),
        "self_attention.output": (width, width),
        "feed_forward.inner": (width, inner),
        "feed_forward.outer": (inner, width),
    }
    cross = {name.replace("self", "cross"): shape for name, shape in linear.items() if "self" in name}
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (vocabulary_size, width)}
    for stack, n_layers, more in (
        ("encoder", config.n_encoder_layers, {}),
        ("decoder", config.n_decoder_layers, cross),
    ):
        norms = [
            f"layers.{i}.{name}_norm"
            for i in range(n_layers)
            for name in ("self", "feed", *(["cross"] if more else []))
        ]
        for name in [*norms, *(["norm"] if config.norm == "pre" else [])]:
            shapes |= {f"{stack}.{name}.{kind}": (width,) for kind in ("weight", "bias")}
        for i in range(n_layers):
            for name, (n_in, n_out) in {**linear, **more}.items():
                shapes[f"{stack}.layers.{i}.{name}.weight"] = (n_out, n_in)
                shapes[f"{stack}.layers.{i}.{name}.bias"] = (n_out,)
    return shapes


def _misfit(weights: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Return how weights differ from the expected shapes, or None if they do not."""
    for name, shape in shapes.items():
        if name not in weights:
            return f"there is no {name}"
        if weights[name].shape != shape:
            return f"size mismatch for {name}: {weights[name].shape}, not {shape}"
        if weights[name].dtype.kind != "f":
            return f"{name} is {weights[name].dtype}, not a floating-point type"
    unknown = [name for name in weights if name not in shapes]
    return f"{unknown[0]} is unknown" if unknown else None


def _not_finite(weights: Mapping[str, NDArray[Any]]) -> str | None:
    """Return the name of the first array with an infinite or NaN value, or None if there is none."""
    return next((name for name, value in weights.items() if not np.isfinite(value).all()), None)


def copy_model_folder(folder: Path, target: Path) -> None:
    """Copy a model folder. The manifest is written last, as in every model folder."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, TOKENIZER, CONFIG, MANIFEST):
        atomic_write(target / name, (folder / name).read_bytes())


def model_of(folder: Path) -> Path:
    """Return the model folder of a finished run, given the run's folder. Return other paths unchanged."""
    inside = folder / "model"
    return inside if (inside / MANIFEST).exists() and not (folder / MANIFEST).exists() else folder


def newest_model(root: Path) -> Path:
    """Return the model folder of the finished run below `root` whose manifest records the latest date.

    Raises:
        ModelError: there is no finished run.
    """
    manifests = list(root.glob(f"*/model/{MANIFEST}"))
    if not manifests:
        raise ModelError(
            f"no finished run below {root}/; run `translator train phrasebook` first, or give --model FOLDER"
        )
    return max(manifests, key=lambda path: (recorded_time(path, "created", otherwise=path), path)).parent


def recorded_time(path: Path, key: str, *, otherwise: Path) -> float:
    """Return the time recorded in a JSON file, in seconds since 1970.

    Unlike the mtime of the file, the recorded time stays the same when the file is copied.

    Args:
        path: the JSON file, which may be absent or damaged.
        key: the key of a date in ISO 8601 format.
        otherwise: the file whose mtime is returned if no such date can be read from the JSON file.
    """
    try:
        return datetime.fromisoformat(json.loads(path.read_text(encoding="utf-8"))[key]).timestamp()
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return otherwise.stat().st_mtime
