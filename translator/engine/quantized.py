"""Linear maps with their weights laid out beforehand, in one of three precisions.

oneDNN multiplies by weights in blocks of its own; PyTorch reaches it by the operators that its compiler emits
(`torch.ops.mkldnn` and `torch.ops.onednn`). Times are of 320 rows of 128 numbers by the (6000, 128)
vocabulary, and by a layer's six maps, on 1 thread of an AMD Zen 4.
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

#: Rows or outputs from which prepacked weights are quicker; below, float32 is as quick in any precision.
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

    What is between them is the largest tensor of a layer. In bfloat16, with nothing read or written again
    on the way, both take 0.64 instead of 1.79 ms (640 rows, 128 to 512 and back, 1 thread of an Intel Xeon).
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
    """Float32: 5 rows by the 24 maps of 4 layers take 0.32 ms so, 0.35 as the weights lie, 0.53 prepacked."""
    if bias is None:
        return lambda x: F.linear(x, weight)
    columns = weight.t().contiguous()
    return lambda x: torch.addmm(bias, x, columns) if x.dim() == 2 else F.linear(x, weight, bias)


def _prepacked(weight: Tensor, bias: Tensor | None, activation: Map | None) -> Linear:
    """Float32: 4.8 instead of 5.7 ms by the vocabulary, 1.6 instead of 1.75 ms by a layer's maps.

    What follows a product is done while its result is at hand: 204 instead of 223 µs with relu, 60 instead
    of 67 with an addition (280 rows, 128 to 512 and 128 to 128, an Intel Xeon).
    """
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
    """1.0 ms by a layer's maps; relative error 3e-3."""
    prepacked = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16(), None)
    bf16_bias = None if bias is None else bias.bfloat16()
    dtype = torch.bfloat16 if keep_bf16 else torch.float32
    return _then(lambda x: _onednn(x.bfloat16(), prepacked, bf16_bias, activation).to(dtype), None)


def _int8(weight: Tensor, bias: Tensor | None) -> Map:
    """1.7 ms by the vocabulary; relative error 1e-2. One scale an output, and one a row of the input.

    Without instructions that sum in 32 bits, two products of 8 bits overflow the 16 that they are summed in;
    the input has 7 bits there (AMD Zen 3: 4.6 instead of 7.1 ms, relative error 2e-2; with 8 bits to 5e-2).
    """
    qmax = 127 if multiplies_int8() else 63
    scale = weight.abs().amax(1).clamp(min=1e-12) / 127
    prepacked = torch.ops.onednn.qlinear_prepack((weight / scale[:, None]).round().to(torch.int8), None)
    zeros = torch.zeros(len(weight), dtype=torch.int64)

    def multiply(x: Tensor) -> Tensor:
        # A scale of each row's own: with one for all, rows unlike the largest were rounded to few numbers and
        # log-probabilities were off by 0.039 (root mean square of the ten best), now by 0.022.
        largest = x.abs().amax(-1, keepdim=True).clamp(min=1e-12)
        # Unsigned, as AVX-512 multiplies it: signed input takes another, very slow way.
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
