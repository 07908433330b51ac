"""The operations of a training step on packed rows, implemented in PyTorch or in C.

`backend.training_engine` creates an `Ops` and passes it to the engine. If a C operation does not support the
dtype, device or width of its input, then the PyTorch operation is used instead.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.engine.attention import scaled_dot_product_attention
from translator.engine.cross_entropy import cross_entropy
from translator.engine.native import Native
from translator.engine.packing import PackedLayout
from translator.model.attention import attention_weights


@dataclass
class DropoutRNG:
    """The random number generator of dropout.

    Attributes:
        generator: the generator that is used on a CPU. None means torch's global generator.
        masks: a list for tests, or None. Each dropout on a CPU appends a tensor to the list: the factors by
            which it multiplied its input. A factor is 0 for a dropped value and above 1 for any other value.
    """

    generator: torch.Generator | None = None
    masks: list[Tensor] | None = None


@dataclass(frozen=True)
class Ops:
    """The operations of a training step. If `native` is None, all of them are implemented in PyTorch."""

    native: Native | None = None

    def varlen_attention(
        self,
        query: Tensor,
        kv: Tensor,
        mask: Tensor,
        queries: PackedLayout,
        keys: PackedLayout,
        n_heads: int,
        *,
        dropout: float,
        rng: DropoutRNG,
    ) -> Tensor:
        """Return softmax(query · keyᵀ / √E) · value within each sentence and head, on packed rows.

        Args:
            query: (R, D).
            kv: (R', 2 D), the keys and values, concatenated.
            mask: bool, broadcastable to (B, H, Q, K), True where a query may attend to a key.
            queries: layout of the queries.
            keys: layout of the keys and values.
            n_heads: H.
            dropout: probability with which an attention weight is dropped.
            rng: random number generator of the dropout.

        Returns:
            The attended values, (R, D).
        """
        native = self.native
        is_native = dropout == 0 and mask.size(1) == 1 and query.dtype == kv.dtype
        if is_native and native is not None and native.supports(query, kv, width=query.size(1) // n_heads):
            attended: Tensor = _VarlenAttention.apply(query, kv, mask, queries, keys, n_heads, native)  # type: ignore[no-untyped-call]
            return attended
        (q,), (key, value) = queries.split_heads(query, n_heads, 1), keys.split_heads(kv, n_heads, 2)
        if query.device.type != "cpu" or not torch.is_grad_enabled():
            heads = F.scaled_dot_product_attention(q, key, value, attn_mask=mask, dropout_p=dropout)
        elif dropout == 0:
            heads = scaled_dot_product_attention(q, key, value, mask)
        else:
            heads = self.dropout(attention_weights(q, key, mask), dropout, rng) @ value
        return queries.merge_heads(heads)

    def layer_norm(self, norm: nn.LayerNorm, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the layer norm of x, (R, D), converted to `dtype`."""
        native = self.native
        is_native = x.dtype == norm.weight.dtype == torch.float32 and dtype in (torch.float32, torch.bfloat16)
        if is_native and native is not None and native.supports(x, width=x.size(1)):
            normed: Tensor = _LayerNorm.apply(x, norm.weight, norm.bias, norm.eps, dtype, native)  # type: ignore[no-untyped-call]
            return normed
        return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps).to(dtype)

    def dropout_add(self, x: Tensor, update: Tensor, probability: float, rng: DropoutRNG) -> Tensor:
        """Return x + dropout(update), where values of `update` are dropped with the given probability."""
        native = self.native
        is_native = probability > 0 and x.dtype == torch.float32 and x.shape == update.shape
        if native is None or not is_native or not native.supports(x, update):
            return x + self.dropout(update, probability, rng)
        seed = int(torch.empty((), dtype=torch.int64).random_(generator=rng.generator))
        drawn = {"seed": seed, "threshold": _threshold(probability)}
        if rng.masks is not None:
            rng.masks.append(native.dropout_add(None, torch.ones_like(x), **drawn, dtype=torch.float32))
        result: Tensor = _DropoutAdd.apply(x, update, drawn, native)  # type: ignore[no-untyped-call]
        return result

    def dropout(self, x: Tensor, probability: float, rng: DropoutRNG) -> Tensor:
        """Return x with some values dropped (set to zero) and the others scaled up (Srivastava et al. 2014).

        Each value is dropped with the given probability. On a CPU, one random byte per value decides, because
        drawing bytes is faster than PyTorch's Bernoulli sampling (docs/performance.md). The probability is
        therefore rounded to a multiple of 1/256, at most 255/256.
        """
        if probability == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, probability)
        threshold = _threshold(probability)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64)
        words.random_(-(2**63), None, generator=rng.generator)
        random_bytes = words.view(torch.uint8)[: x.numel()].view(x.shape)
        # The comparison writes 0.0 or 1.0 directly, because converting a boolean mask takes much longer.
        mask = torch.ge(random_bytes, threshold, out=torch.empty_like(x, requires_grad=False))
        mask.mul_(256 / (256 - threshold))
        if rng.masks is not None:
            rng.masks.append(mask)
        return x * mask

    def cross_entropy(
        self, states: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """Call `engine.cross_entropy.cross_entropy`, which uses the C operations if there are any."""
        return cross_entropy(states, weight, targets, label_smoothing, native=self.native)


def _threshold(probability: float) -> int:
    """Return the threshold below which a random byte lies with about the given probability."""
    return min(round(256 * probability), 255)


class _VarlenAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        kv: Tensor,
        mask: Tensor,
        queries: PackedLayout,
        keys: PackedLayout,
        n_heads: int,
        native: Native,
    ) -> Tensor:
        query, kv = query.contiguous(), kv.contiguous()
        ctx.native, ctx.sentences = native, (queries, keys, n_heads)
        attended, weights = native.attention(query, kv, mask, *ctx.sentences)
        ctx.save_for_backward(query, kv, weights)
        return attended

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_attended = gradients[0].contiguous()
        d_query, d_kv = ctx.native.attention_backward(d_attended, *ctx.saved_tensors, *ctx.sentences)
        return d_query, d_kv, None, None, None, None, None


class _DropoutAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, update: Tensor, drawn: dict[str, int], native: Native) -> Tensor:
        ctx.native, ctx.drawn, ctx.dtype = native, drawn, update.dtype
        return native.dropout_add(x.contiguous(), update.contiguous(), **drawn, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_update = ctx.native.dropout_add(None, gradients[0].contiguous(), **ctx.drawn, dtype=ctx.dtype)
        return gradients[0], d_update, None, None


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, dtype: torch.dtype, native: Native
    ) -> Tensor:
        x = x.contiguous()
        y, mean, rstd = native.layer_norm(x, weight, bias, epsilon, dtype)
        ctx.native = native
        ctx.save_for_backward(x, weight, mean, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_inputs = ctx.native.layer_norm_backward(gradients[0].contiguous(), *ctx.saved_tensors)
        return *d_inputs, None, None, None
