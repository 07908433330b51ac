"""Layers, stacks and the whole Transformer against PyTorch's own, weights copied across."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_model import (
    OPTIONS,
    SOURCE_IDS,
    TARGET_IN,
    assert_differs,
    assert_same,
    copy_layer,
    copy_linear,
    normal,
    options_for,
    randomise,
    toy_model,
)

from translator.model.layers import FeedForward, Layer, LayerOptions, Stack
from translator.model.masks import causal_mask, padding_mask
from translator.model.transformer import Transformer
from translator.symbols import PAD


def silu(x: Tensor) -> Tensor:
    return x * (1 / (1 + torch.exp(-x)))


REFERENCES: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": silu}
SHAPES = [(norm, activation) for norm in ("pre", "post") for activation in REFERENCES]
EACH_SHAPE = pytest.mark.parametrize(("norm", "activation"), SHAPES)

STATES = normal(4, 6, OPTIONS.width)  # (B, S, D), padded like SOURCE_IDS
X = normal(4, 5, OPTIONS.width, seed=2)  # (B, T, D)
SOURCE_MASK = padding_mask(SOURCE_IDS)
SOURCE_HIDE = SOURCE_IDS == PAD
FUTURE_HIDE = torch.ones(5, 5, dtype=torch.bool).triu(1)


def torch_layer(options: LayerOptions, *, cross: bool) -> nn.Module:
    kind = nn.TransformerDecoderLayer if cross else nn.TransformerEncoderLayer
    layer = kind(
        options.width,
        options.n_heads,
        options.feed_forward,
        dropout=0.0,
        activation=REFERENCES[options.activation],
        batch_first=True,
        norm_first=options.norm == "pre",
    )
    return layer.double()


def torch_stack(ours: Stack, options: LayerOptions, *, cross: bool) -> nn.Module:
    """Return PyTorch's stack in the shape of ours, with our weights."""
    n_layers = len(ours.layers)
    norm = nn.LayerNorm(options.width).double() if options.norm == "pre" else None
    if cross:
        theirs: nn.Module = nn.TransformerDecoder(torch_layer(options, cross=True), n_layers, norm)
    else:
        layer = torch_layer(options, cross=False)
        theirs = nn.TransformerEncoder(layer, n_layers, norm, enable_nested_tensor=False)
    copy_stack(ours, theirs)
    return theirs


def copy_stack(ours: Stack, theirs: nn.Module) -> None:
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        copy_layer(mine, other)
    if theirs.norm is not None:
        copy_linear(ours.norm, theirs.norm)


def encoder_layer_pair(norm: str, activation: str) -> tuple[Layer, Tensor]:
    """Return our layer and PyTorch's answer to `STATES`."""
    options = options_for(norm, activation)
    ours, theirs = randomise(Layer(options)), torch_layer(options, cross=False)
    copy_layer(ours, theirs)
    return ours, theirs(STATES, src_key_padding_mask=SOURCE_HIDE)


def decoder_layer_pair(norm: str, activation: str) -> tuple[Layer, Tensor]:
    """Return our layer and PyTorch's answer to `X` over `STATES`."""
    options = options_for(norm, activation)
    ours, theirs = randomise(Layer(options, cross=True)), torch_layer(options, cross=True)
    copy_layer(ours, theirs)
    return ours, theirs(X, STATES, tgt_mask=FUTURE_HIDE, memory_key_padding_mask=SOURCE_HIDE)


def decode(ours: Layer, mask: Tensor | None = None, cross_mask: Tensor | None = SOURCE_MASK) -> Tensor:
    cross = ours.cross_attention.project(STATES)
    mask = causal_mask(5) if mask is None else mask
    return ours(X, mask, cross=cross, cross_mask=cross_mask)


@EACH_SHAPE
def test_encoder_layer(norm: str, activation: str) -> None:
    ours, expected = encoder_layer_pair(norm, activation)
    assert_same(ours(STATES, SOURCE_MASK), expected)


@EACH_SHAPE
def test_decoder_layer(norm: str, activation: str) -> None:
    ours, expected = decoder_layer_pair(norm, activation)
    assert_same(decode(ours), expected)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_control_masks_and_options_are_seen(norm: str) -> None:
    ours, expected = encoder_layer_pair(norm, "relu")
    assert_differs(ours(STATES, None), expected)
    ours.pre_norm = not ours.pre_norm
    assert_differs(ours(STATES, SOURCE_MASK), expected)
    ours.pre_norm = not ours.pre_norm
    ours.feed_forward.activation = F.gelu
    assert_differs(ours(STATES, SOURCE_MASK), expected)
    ours, expected = decoder_layer_pair(norm, "relu")
    assert_differs(decode(ours, cross_mask=None), expected)
    assert_differs(decode(ours, mask=torch.ones(5, 5, dtype=torch.bool)), expected)


@pytest.mark.parametrize("norm", ["pre", "post"])
@torch.no_grad()
def test_control_each_weight_is_seen(norm: str) -> None:
    ours, expected = decoder_layer_pair(norm, "relu")
    for parameter in ours.parameters():
        change = 1e-3 * normal(*parameter.shape, seed=9)
        parameter += change
        assert_differs(decode(ours), expected)
        parameter -= change
    assert_same(decode(ours), expected)


@EACH_SHAPE
def test_encoder_stack(norm: str, activation: str) -> None:
    options = options_for(norm, activation)
    ours = randomise(Stack(options, 2))
    theirs = torch_stack(ours, options, cross=False)
    expected = theirs(STATES, src_key_padding_mask=SOURCE_HIDE)
    assert_same(ours(STATES, SOURCE_MASK), expected)
    # Controls: layers in another order; the last norm left out, or one too many.
    swapped = randomise(Stack(options, 2))
    swapped.layers = nn.ModuleList(reversed(list(swapped.layers)))
    assert_differs(swapped(STATES, SOURCE_MASK), expected)
    ours.norm = nn.Identity() if norm == "pre" else nn.LayerNorm(options.width).double()
    assert_differs(ours(STATES, SOURCE_MASK), expected)


@EACH_SHAPE
def test_decoder_stack(norm: str, activation: str) -> None:
    options = options_for(norm, activation)
    ours = randomise(Stack(options, 2, cross=True))
    theirs = torch_stack(ours, options, cross=True)
    expected = theirs(X, STATES, tgt_mask=FUTURE_HIDE, memory_key_padding_mask=SOURCE_HIDE)
    cross = ours.project(STATES)
    assert_same(ours(X, causal_mask(5), cross=cross, cross_mask=SOURCE_MASK), expected)
    # Control: each layer has its own projection of the memory.
    assert_differs(ours(X, causal_mask(5), cross=cross[::-1], cross_mask=SOURCE_MASK), expected)


def torch_transformer(ours: Transformer, options: LayerOptions) -> Callable[[Tensor, Tensor], Tensor]:
    """Return `(source_ids, target_in) -> logits` by `nn.Transformer`, with our weights."""
    theirs = nn.Transformer(
        custom_encoder=torch_stack(ours.encoder, options, cross=False),
        custom_decoder=torch_stack(ours.decoder, options, cross=True),
        d_model=options.width,
        nhead=options.n_heads,
        batch_first=True,
    )
    copy_stack(ours.encoder, theirs.encoder)  # its constructor has drawn new weights
    copy_stack(ours.decoder, theirs.decoder)
    embedding = ours.embedding.weight.detach().clone()

    def embed(ids: Tensor) -> Tensor:
        return embedding[ids] * options.width**0.5 + ours.positions[: ids.size(1)]

    def logits(source_ids: Tensor, target_in: Tensor) -> Tensor:
        hide = source_ids == PAD
        states = theirs(
            embed(source_ids),
            embed(target_in),
            tgt_mask=torch.ones(2 * target_in.size()[1:], dtype=torch.bool).triu(1),
            src_key_padding_mask=hide,
            memory_key_padding_mask=hide,
        )
        return states @ embedding.T

    return logits


@EACH_SHAPE
def test_whole_transformer(norm: str, activation: str) -> None:
    options = options_for(norm, activation)
    ours = toy_model(options)
    expected = torch_transformer(ours, options)(SOURCE_IDS, TARGET_IN)
    assert_same(ours(SOURCE_IDS, TARGET_IN), expected, 1e-11)
    # Controls: one embedding value, one source token, one target token.
    assert_differs(ours(SOURCE_IDS.roll(1, 0), TARGET_IN), expected, 1e-11)
    assert_differs(ours(SOURCE_IDS, TARGET_IN.roll(1, 0)), expected, 1e-11)
    with torch.no_grad():
        ours.embedding.weight[5, 0] += 1e-3
    assert_differs(ours(SOURCE_IDS, TARGET_IN), expected, 1e-11)


def test_float32_is_close_enough() -> None:
    ours = toy_model()
    expected = torch_transformer(ours, OPTIONS)(SOURCE_IDS, TARGET_IN)
    assert_same(ours.float()(SOURCE_IDS, TARGET_IN).double(), expected, 1e-4)
    ours.embedding.weight.data[5, 0] += 1e-2
    assert_differs(ours(SOURCE_IDS, TARGET_IN).double(), expected, 1e-4)


@pytest.mark.parametrize("activation", list(REFERENCES))
def test_feed_forward_is_two_maps_with_an_activation_between(activation: str) -> None:
    ours = randomise(FeedForward(replace(OPTIONS, activation=activation)))
    hidden = REFERENCES[activation](X @ ours.inner.weight.T + ours.inner.bias)
    assert_same(ours(X), hidden @ ours.outer.weight.T + ours.outer.bias)
    other = REFERENCES["gelu" if activation == "relu" else "relu"]
    hidden = other(X @ ours.inner.weight.T + ours.inner.bias)
    assert_differs(ours(X), hidden @ ours.outer.weight.T + ours.outer.bias)
