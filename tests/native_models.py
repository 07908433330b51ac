"""What the tests of decoding in C share: random models, prepacked for each level of this CPU."""

import ctypes
from collections.abc import Callable

import pytest
import torch

from translator.building import build_model
from translator.config import ModelConfig
from translator.engine import native_library
from translator.engine.native_decoding import NativeDecoder, Precision
from translator.model.transformer import Transformer

#: The libraries of the levels that were built and that this CPU has.
LIBRARIES: dict[str, ctypes.CDLL] = {
    level: found[0]
    for level in native_library.LEVELS
    if isinstance(found := native_library._load(native_library.FOLDER, level), tuple)
}

needs_library = pytest.mark.skipif(not LIBRARIES, reason=f"no C operations: {native_library.problem()}")
EACH_LEVEL = [needs_library, pytest.mark.parametrize("level", LIBRARIES or ["default"])]
EACH_PRECISION = pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])


def each_level(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test at each level of this CPU, whose name is its argument `level`."""
    for mark in EACH_LEVEL:
        test = mark(test)
    return test


def tiny_shape(**changes: object) -> ModelConfig:
    """Return the shape of a tiny model, with some values changed."""
    values = {
        "width": 32, "n_heads": 4, "feed_forward": 64, "n_encoder_layers": 1, "n_decoder_layers": 2,
        "max_length": 64, "dropout": 0.0,
    }  # fmt: skip
    return ModelConfig.model_validate(values | changes)


@torch.no_grad()
def random_model(shape: ModelConfig, *, n_tokens: int = 37, seed: int = 0, gain: float = 1.5) -> Transformer:
    """Return a model in evaluation mode. All its weights are random, those of norms and biases too.

    Args:
        shape: shape of the model.
        n_tokens: V.
        seed: seed of the weights.
        gain: a larger number makes the distributions of tokens more peaked.
    """
    model = build_model(shape, n_tokens).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        drawn = torch.randn(weight.shape, generator=generator)
        if name == "embedding.weight":
            weight.copy_(drawn * gain / shape.width**0.5)
        elif weight.dim() == 2:
            weight.copy_(drawn * 0.8 / weight.size(1) ** 0.5)
        else:
            weight.copy_(drawn * 0.1 + (1 if "norm" in name and name.endswith("weight") else 0))
    return model


def native(
    model: Transformer, shape: ModelConfig, *, level: str = "", precision: Precision = "float32"
) -> NativeDecoder:
    """Return a decoder of a model at a level, by default the highest one."""
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    library = LIBRARIES[level or [*LIBRARIES][-1]]
    return NativeDecoder(library, weights, shape, precision=precision)
