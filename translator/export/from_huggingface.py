"""A model folder from a folder that `to_huggingface` wrote, whose weights may have been trained further."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from translator.config import Config
from translator.config.file import config_from_json
from translator.data.tokenizer import Tokenizer
from translator.errors import ModelError
from translator.export.folder import ABOUT, new_folder
from translator.files import sha256
from translator.model.positions import sinusoids
from translator.model_folder import (
    TOKENIZER,
    WEIGHTS,
    read_weights,
    save_weights,
    weight_shapes,
    write_manifest,
)
from translator.translation.confidence import CONFIDENCE
from translator.translation.heads import HEADS

#: Our name of a linear layer or norm inside a layer, and the names that Pegasus has for its parts.
NAMES = {
    "self_attention.query": ("self_attn.q_proj",),
    "self_attention.key_value": ("self_attn.k_proj", "self_attn.v_proj"),
    "self_attention.output": ("self_attn.out_proj",),
    "self_norm": ("self_attn_layer_norm",),
    "cross_attention.query": ("encoder_attn.q_proj",),
    "cross_attention.key_value": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross_attention.output": ("encoder_attn.out_proj",),
    "cross_norm": ("encoder_attn_layer_norm",),
    "feed_forward.inner": ("fc1",),
    "feed_forward.outer": ("fc2",),
    "feed_norm": ("final_layer_norm",),
}
#: Largest difference between our positions and those of an imported model. Sines differ between machines.
_SAME_POSITIONS = 1e-5


def pegasus_names(name: str) -> list[str]:
    """Return Pegasus' names of one of our weights; their tensors, concatenated, are the weight."""
    if name == "embedding.weight":
        return ["model.shared.weight"]
    if inside := re.fullmatch(r"(\w+\.layers\.\d+)\.(.+)\.(\w+)", name):
        layer, part, kind = inside.groups()
        return [f"model.{layer}.{theirs}.{kind}" for theirs in NAMES[part]]
    return ["model." + name.replace(".norm.", ".layer_norm.")]


def import_model(folder: Path, output: Path) -> bool:
    """Write a model folder from a folder in the format of Transformers.

    Args:
        folder: a folder that `translator export --format huggingface` wrote. Its weights may have been
            replaced by others of the same shape.
        output: the model folder to create; it must not exist.

    Returns:
        Whether the weights are those that were exported. If not, the new folder has none of their scores.

    Raises:
        ModelError: the folder lacks a file, or its weights are not those of such a model.
        ExportError: `output` exists or has no parent folder.
    """
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        config = config_from_json(json.dumps(about["config"]).encode(), where=str(folder / ABOUT))
        manifest = dict(about["manifest"])
    except OSError as error:
        raise ModelError(
            f"{folder / ABOUT}: {error.strerror}; `translator export --format huggingface` writes it, so "
            f"copy it and {TOKENIZER} from the exported folder"
        ) from None
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{folder / ABOUT}: damaged: {error}; export the model again") from None
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    weights = _our_weights(folder / WEIGHTS, config, len(tokenizer))
    with new_folder(output) as partial:
        save_weights(partial, weights, tokenizer, config)
        unchanged = bool(sha256(partial / WEIGHTS) == manifest["sha256"][WEIGHTS])
        dropped = {"format_version", "versions", "sha256"}
        if not unchanged:
            dropped |= {"weights", "trained", "scores", CONFIDENCE, HEADS}
            manifest["created"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        write_manifest(partial, {key: value for key, value in manifest.items() if key not in dropped})
    return unchanged


def _our_weights(path: Path, config: Config, vocabulary_size: int) -> dict[str, Tensor]:
    theirs = {name: torch.from_numpy(value) for name, value in read_weights(path).items()}
    weights = {}
    for name, shape in weight_shapes(config.model, vocabulary_size).items():
        parts = pegasus_names(name)
        if missing := [part for part in parts if part not in theirs]:
            raise ModelError(f"{path}: there is no {missing[0]}; give a model that was exported from here")
        weights[name] = torch.cat([theirs[part] for part in parts])
        if weights[name].shape != shape:
            found = (*weights[name].shape,)
            raise ModelError(f"{path}: {' and '.join(parts)} are {found}, not {shape}, as {ABOUT} says")
    _check_fixed(path, theirs, config)
    return weights


def _check_fixed(path: Path, theirs: Mapping[str, Tensor], config: Config) -> None:
    """Check the tensors that Pegasus has and we compute: positions, and a bias of zero."""
    bias = theirs.get("final_logits_bias")
    if bias is not None and bias.any():
        raise ModelError(f"{path}: final_logits_bias is not zero; our models have no such bias")
    for name, value in theirs.items():
        if name.endswith("embed_positions.weight"):
            table = sinusoids(len(value), config.model.width, base=config.model.position_base)
            if value.shape != table.shape or (value - table).abs().max() > _SAME_POSITIONS:
                raise ModelError(
                    f"{path}: {name} was trained; ours are fixed, so call requires_grad_(False) for each of "
                    "model.get_position_embeddings() before a training"
                )
