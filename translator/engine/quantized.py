"""Linear layers for decoding, with prepacked weights, in one of three precisions.

Prepacked weights are weights in oneDNN's blocked memory layout. This module creates and uses them with the
operators `torch.ops.mkldnn` and `torch.ops.onednn`, which PyTorch's compiler uses as well. The measurements
behind each choice are in docs/performance.md, "Where the numbers in the code came from".
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
    """A linear layer, optionally followed by an activation."""

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Apply the layer, (…, K) → (…, N). If `residual` is given, add it to the result."""
        ...


#: The activations that oneDNN can fuse into a matrix product, each with the two strings by which oneDNN
#: identifies it: a name and a variant. None means no activation.
ONEDNN: dict[Map | None, tuple[str, str]] = {
    None: ("none", ""),
    F.relu: ("relu", ""),
    F.gelu: ("gelu", "none"),
    F.silu: ("swish", ""),
}

#: Prepacked weights are faster if the input has at least `MANY_ROWS` rows or the layer has at least
#: `MANY_OUTPUTS` outputs. Otherwise, float32 without prepacking is fastest.
MANY_ROWS, MANY_OUTPUTS = 40, 1000


def nearest(precision: Precision, device: str) -> Precision:
    """Return `precision`, but on a CPU without bfloat16 instructions, replace bfloat16 with float32."""
    is_unsupported = precision == "bfloat16" and device == "cpu" and not multiplies_bfloat16()
    return "float32" if is_unsupported else precision


def linear(
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    precision: Precision = "float32",
    activation: Map | None = None,
    keep_bf16: bool = False,
) -> Linear:
    """Return a function that computes activation(x · weightᵀ + bias). Its input has the dtype of `weight`.

    Its output has the same dtype, unless `keep_bf16` applies.

    Args:
        weight: (N, K) float. It is copied, so later changes to it have no effect.
        bias: (N,) float. It is copied as well.
        precision: the requested precision. On a CPU, a layer with at least `MANY_OUTPUTS` outputs (the output
            layer) uses int8 if int8 is requested, else float32. It never uses bfloat16, because logits in
            bfloat16 tie too often in a search. A layer with fewer outputs uses bfloat16 if bfloat16 or int8
            is requested, else float32. It never uses int8, because a small product would save less time than
            computing the scales of the input takes. It uses float32 instead of bfloat16 if the input has
            fewer than `MANY_ROWS` rows or the CPU has no bfloat16 instructions. On other devices, int8 means
            bfloat16.
        activation: the function that is applied to the result, one of `layers.ACTIVATIONS`, or None.
        keep_bf16: whether to leave the output in bfloat16 if a CPU computes the product in bfloat16. This is
            meant for an output that is only the input of another linear layer.
    """
    weight, bias = weight.detach().clone(), None if bias is None else bias.detach().clone()
    has_many_outputs, n_inputs = len(weight) >= MANY_OUTPUTS, weight.size(1)
    small = nearest("float32" if precision == "float32" else "bfloat16", weight.device.type)
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not torch._C._has_mkldnn:
        return _then(_unpacked(weight, bias, small), activation)
    if has_many_outputs and precision == "int8":
        return _then(_int8(weight, bias), activation)
    if has_many_outputs or small == "float32":
        many = _prepacked(weight, bias, activation)
    else:
        many = _bfloat16(weight, bias, activation, keep_bf16=keep_bf16)
    if has_many_outputs:
        return many
    few = _then(_few(weight, bias), activation)

    def choose(x: Tensor, residual: Tensor | None = None) -> Tensor:
        return many(x, residual) if x.numel() >= MANY_ROWS * n_inputs else few(x, residual)

    return choose


def _then(multiply: Map, activation: Map | None) -> Linear:
    def apply(x: Tensor, residual: Tensor | None = None) -> Tensor:
        y = multiply(x) if activation is None else activation(multiply(x))
        return y if residual is None else y.add_(residual)

    return apply


def feed_forward(inner: nn.Linear, outer: nn.Linear, activation: Map, precision: Precision) -> Linear:
    """Return both linear layers of a feed-forward sublayer as one function.

    The output of the first linear layer is the largest tensor of a Transformer layer. If it is computed in
    bfloat16, it is therefore left in bfloat16.
    """
    first = linear(inner.weight, inner.bias, precision=precision, activation=activation, keep_bf16=True)
    second = linear(outer.weight, outer.bias, precision=precision)
    return lambda x, residual=None: second(first(x), residual)


def _unpacked(weight: Tensor, bias: Tensor | None, precision: Precision) -> Map:
    if precision == "float32":
        return lambda x: F.linear(x, weight, bias)
    dtype, weight = weight.dtype, weight.bfloat16()
    bias = None if bias is None else bias.bfloat16()
    return lambda x: F.linear(x.bfloat16(), weight, bias).to(dtype)


def _few(weight: Tensor, bias: Tensor | None) -> Map:
    """Return a float32 layer for inputs with few rows, for which prepacked weights would be slower."""
    if bias is None:
        return lambda x: F.linear(x, weight)
    columns = weight.t().contiguous()
    return lambda x: torch.addmm(bias, x, columns) if x.dim() == 2 else F.linear(x, weight, bias)


def _prepacked(weight: Tensor, bias: Tensor | None, activation: Map | None) -> Linear:
    """Return a float32 layer. The activation or the addition of the residual is fused into the product."""
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
    """Return a layer that computes its product in bfloat16. The relative error of the product is 3e-3."""
    prepacked = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16(), None)
    bf16_bias = None if bias is None else bias.bfloat16()
    dtype = torch.bfloat16 if keep_bf16 else torch.float32
    return _then(lambda x: _onednn(x.bfloat16(), prepacked, bf16_bias, activation).to(dtype), None)


def _int8(weight: Tensor, bias: Tensor | None) -> Map:
    """Return a layer that computes its product in int8, with one scale per output and one per input row.

    The relative error of the product is 1e-2. Some CPUs add pairs of 8-bit products in 16 bits, and these
    sums can overflow. On such CPUs, inputs are therefore quantized to 7 bits, which makes the relative error
    2e-2. With 8 bits, overflows would make it as large as 5e-2.
    """
    qmax = 127 if multiplies_int8() else 63
    scale = weight.abs().amax(1).clamp(min=1e-12) / 127
    prepacked = torch.ops.onednn.qlinear_prepack((weight / scale[:, None]).round().to(torch.int8), None)
    zeros = torch.zeros(len(weight), dtype=torch.int64)

    def multiply(x: Tensor) -> Tensor:
        # Each row has its own scale, because a common scale would be too coarse for rows of small values.
        largest = x.abs().amax(-1, keepdim=True).clamp(min=1e-12)
        # Inputs are unsigned, as AVX-512 instructions require. With signed inputs, oneDNN is very slow.
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
