"""What the model's tests share: small models with telling weights, comparisons, PyTorch's own layers."""

from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from translator.model.attention import Attention
from translator.model.layers import Layer, LayerOptions
from translator.model.transformer import Transformer
from translator.symbols import BOS, EOS, PAD

OPTIONS = LayerOptions(width=12, n_heads=3, feed_forward=20)
VOCABULARY_SIZE = 17

#: Sources of different lengths, padded; every sentence differs from every other.
SOURCE_IDS = torch.tensor(
    [
        [5, 6, 7, 8, 9, EOS],
        [9, 4, EOS, PAD, PAD, PAD],
        [10, EOS, PAD, PAD, PAD, PAD],
        [7, 5, 16, 11, EOS, PAD],
    ]
)
TARGET_IN = torch.tensor(
    [
        [BOS, 11, 12, 13, 14],
        [BOS, 15, 4, 5, PAD],
        [BOS, 16, PAD, PAD, PAD],
        [BOS, 12, 12, 6, PAD],
    ]
)

Module = TypeVar("Module", bound=nn.Module)


def randomise(module: Module, seed: int = 0) -> Module:
    """Draw every weight, biases and norms too, so that none can be lost unseen; go to float64."""
    module.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
    return module


def toy_model(options: LayerOptions = OPTIONS, *, seed: int = 0, max_length: int = 32) -> Transformer:
    """Return a model of two encoder and three decoder layers, in float64 and evaluation mode."""
    model = Transformer(
        VOCABULARY_SIZE, options, n_encoder_layers=2, n_decoder_layers=3, max_length=max_length
    )
    return randomise(model, seed).eval()


def options_for(norm: str, activation: str = "relu") -> LayerOptions:
    return replace(OPTIONS, norm=norm, activation=activation)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_same(actual: Tensor, expected: Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def assert_differs(actual: Tensor, expected: Tensor, atol: float = 1e-12) -> None:
    """Assert that `assert_same` would fail, and because of values rather than of shapes or NaN."""
    assert actual.isfinite().all()
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        assert_same(actual, expected, atol)


def copy_linear(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict(ours.state_dict())


@torch.no_grad()
def copy_attention(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    """Copy weights from ours into PyTorch's."""
    key, value = ours.key_value.weight.chunk(2)
    if theirs.in_proj_weight is not None:
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, key, value]))
    else:
        theirs.q_proj_weight.copy_(ours.query.weight)
        theirs.k_proj_weight.copy_(key)
        theirs.v_proj_weight.copy_(value)
    theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    copy_linear(ours.output, theirs.out_proj)


def copy_layer(ours: Layer, theirs: nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) -> None:
    """Copy weights from ours into PyTorch's."""
    copy_attention(ours.self_attention, theirs.self_attn)
    copy_linear(ours.self_norm, theirs.norm1)
    copy_linear(ours.feed_forward.inner, theirs.linear1)
    copy_linear(ours.feed_forward.outer, theirs.linear2)
    if ours.cross_attention is None:
        copy_linear(ours.feed_norm, theirs.norm2)
    else:
        copy_attention(ours.cross_attention, theirs.multihead_attn)
        copy_linear(ours.cross_norm, theirs.norm2)
        copy_linear(ours.feed_norm, theirs.norm3)
