"""Linear maps with prepacked weights, in one of three precisions.

Prepacked weights are in the blocked layout that oneDNN multiplies by. They are reached through the operators
that PyTorch's compiler emits (`torch.ops.mkldnn` and `torch.ops.onednn`). What each choice saves is in
docs/performance.md, "Where the numbers in the code came from".
"""

from collections.abc import Callable
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.engine.runtime import multiplies_bfloat16, multiplies_int8

Map = Callable[[Tensor], Tensor]
Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


class Linear(Protocol):
    """A linear map and perhaps an activation of its result."""

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return the result for x, (…, K) → (…, N), added to `residual` where that is given."""
        ...


#: oneDNN's names and variants of activations, which it applies to a result while that is at hand.
ONEDNN: dict[Map | None, tuple[str, str]] = {
    None: ("none", ""),
    F.relu: ("relu", ""),
    F.gelu: ("gelu", "none"),
    F.silu: ("swish", ""),
}

#: Rows or outputs from which prepacked weights are faster; below, float32 is as fast as any precision.
MANY_ROWS, MANY_OUTPUTS = 40, 1000


def nearest(precision: Precision, device: str) -> Precision:
    """Return what a device multiplies in instead: float32 where a CPU has no instructions for bfloat16."""
    is_missing = precision == "bfloat16" and device == "cpu" and not multiplies_bfloat16()
    return "float32" if is_missing else precision


def linear(
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    precision: Precision = "float32",
    activation: Map | None = None,
    keep_bf16: bool = False,
) -> Linear:
    """Return x ↦ x · weightᵀ + bias, in and out in the weight's own dtype.

    Args:
        weight: (N, K) float; what is done to it later is not seen.
        bias: (N,) float.
        precision: of weights and products. Maps of many outputs (the vocabulary) are float32 in bfloat16,
            whose rounded results tie too often for a search, and int8 in int8. All others are bfloat16 in
            both, since to find an input's scale costs what a small product gains by int8; float32 where
            the CPU does not multiply bfloat16.
        activation: of the result, one of `layers.ACTIVATIONS`.
        keep_bf16: the result is for another map alone and may stay in the dtype of the products.
    """
    weight, bias = weight.detach().clone(), None if bias is None else bias.detach().clone()
    is_wide, n_inputs = len(weight) >= MANY_OUTPUTS, weight.size(1)
    small = nearest("float32" if precision == "float32" else "bfloat16", weight.device.type)
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not torch._C._has_mkldnn:
        return _then(_plain(weight, bias, small), activation)
    if is_wide and precision == "int8":
        return _then(_int8(weight, bias), activation)
    if is_wide or small == "float32":
        many = _prepacked(weight, bias, activation)
    else:
        many = _bfloat16(weight, bias, activation, keep_bf16=keep_bf16)
    if is_wide:
        return many
    few = _then(_few(weight, bias), activation)

    def choose(x: Tensor, residual: Tensor | None = None) -> Tensor:
        return many(x, residual) if x.numel() >= MANY_ROWS * n_inputs else few(x, residual)

    return choose


def _then(multiply: Map, activation: Map | None) -> Linear:
    def all_of_it(x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = multiply(x) if activation is None else activation(multiply(x))
        return y if residual is None else y.add_(residual)

    return all_of_it


def feed_forward(inner: nn.Linear, outer: nn.Linear, activation: Map, precision: Precision) -> Linear:
    """Return both maps of a feed-forward sublayer as one.

    The tensor between them is the largest of a layer; in bfloat16 it stays in bfloat16.
    """
    widen = linear(inner.weight, inner.bias, precision=precision, activation=activation, keep_bf16=True)
    narrow = linear(outer.weight, outer.bias, precision=precision)
    return lambda x, residual=None: narrow(widen(x), residual)


def _plain(weight: Tensor, bias: Tensor | None, precision: Precision) -> Map:
    if precision == "float32":
        return lambda x: F.linear(x, weight, bias)
    dtype, weight = weight.dtype, weight.bfloat16()
    bias = None if bias is None else bias.bfloat16()
    return lambda x: F.linear(x.bfloat16(), weight, bias).to(dtype)


def _few(weight: Tensor, bias: Tensor | None) -> Map:
    """Float32, for few rows: transposed weights are faster than weights as they are or prepacked."""
    if bias is None:
        return lambda x: F.linear(x, weight)
    columns = weight.t().contiguous()
    return lambda x: torch.addmm(bias, x, columns) if x.dim() == 2 else F.linear(x, weight, bias)


def _prepacked(weight: Tensor, bias: Tensor | None, activation: Map | None) -> Linear:
    """Float32, with the activation or the residual sum fused into the product."""
    prepacked = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    if activation is not None:
        return _then(lambda x: _onednn(x, prepacked, bias, activation), None)

    def multiply(x: Tensor, residual: Tensor | None = None) -> Tensor:
        if residual is None:
            return _onednn(x, prepacked, bias)
        total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, prepacked, bias, "add")
        return total

    return multiply


def _bfloat16(weight: Tensor, bias: Tensor | None, activation: Map | None, *, keep_bf16: bool) -> Linear:
    """Products in bfloat16; relative error 3e-3."""
    prepacked = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16(), None)
    bf16_bias = None if bias is None else bias.bfloat16()
    dtype = torch.bfloat16 if keep_bf16 else torch.float32
    return _then(lambda x: _onednn(x.bfloat16(), prepacked, bf16_bias, activation).to(dtype), None)


def _int8(weight: Tensor, bias: Tensor | None) -> Map:
    """Products in int8, with one scale per output and one per row of the input; relative error 1e-2.

    Without instructions that sum in 32 bits, the sum of two 8-bit products overflows 16 bits. There the input
    has 7 bits, and the relative error is 2e-2; with 8 bits it would be up to 5e-2.
    """
    qmax = 127 if multiplies_int8() else 63
    scale = weight.abs().amax(1).clamp(min=1e-12) / 127
    prepacked = torch.ops.onednn.qlinear_prepack((weight / scale[:, None]).round().to(torch.int8), None)
    zeros = torch.zeros(len(weight), dtype=torch.int64)

    def multiply(x: Tensor) -> Tensor:
        # One scale per row: a single scale would leave few distinct values in all rows but the largest.
        largest = x.abs().amax(-1, keepdim=True).clamp(min=1e-12)
        # Unsigned, as AVX-512 multiplies it: signed input takes a very slow path.
        rounded = (x * (qmax / largest)).round_().add_(qmax + 1).to(torch.uint8)
        result: Tensor = torch.ops.onednn.qlinear_pointwise.default(
            rounded,
            1 / qmax,
            qmax + 1,
            prepacked,
            scale,
            zeros,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        result.mul_(largest)
        return result if bias is None else result.add_(bias)

    return multiply


def _onednn(x: Tensor, prepacked: Tensor, bias: Tensor | None, activation: Map | None = None) -> Tensor:
    name, variant = ONEDNN[activation]
    result: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, prepacked, bias, name, [], variant)
    return result
