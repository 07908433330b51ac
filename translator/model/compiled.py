"""What `kernels.c` computes, with gradients; each says how much quicker it is than PyTorch's way.

Times are of 1 thread of an AMD Zen 5, bfloat16, rows of 256 numbers.
"""

from typing import Any

import torch
from torch import Tensor, nn

from translator.model import kernels
from translator.model.unpadding import Unpadding


def attend_rows(
    query: Tensor, joint: Tensor, keep: Tensor | None, queries: Unpadding, keys: Unpadding, n_heads: int
) -> Tensor:
    """Return softmax(query · keyᵀ / √E) · value, each sentence and head by itself, without padding.

    Forward and backward of 84 sentences of 14 to 16 tokens, 4 heads of 64, take 0.9 instead of 2.8 to 4.0
    ms, padding and taking heads apart included; heads of 32, 0.5 instead of 1.1.

    Args:
        query: (R, D), float32 or bfloat16.
        joint: (R', 2 D), keys beside values.
        keep: bool, (1 or B, 1, 1 or Q, 1 or K), True where a query may look. None: everywhere.
        queries: where the queries stand.
        keys: where the keys stand.
        n_heads: H.

    Returns:
        (R, D), zero beyond the real rows.
    """
    if keep is None:
        keep = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    mixed: Tensor = _AttendRows.apply(query, joint, keep, queries, keys, n_heads)  # type: ignore[no-untyped-call]
    return mixed


def attends(query: Tensor, joint: Tensor, keep: Tensor | None, n_heads: int) -> bool:
    """Whether `attend_rows` can: by dtype and device, the width of a head, one mask for all heads."""
    is_one_mask = keep is None or (keep.dim() == 4 and keep.size(1) == 1)
    fits = kernels.fits(query, joint, width=query.size(1) // n_heads)
    return fits and is_one_mask and query.dtype == joint.dtype


class _AttendRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        joint: Tensor,
        keep: Tensor,
        queries: Unpadding,
        keys: Unpadding,
        n_heads: int,
    ) -> Tensor:
        half = query.dtype == torch.bfloat16
        ctx.sentences = kernels.Sentences(n_heads, query.size(1) // n_heads, queries, keys, half)
        query, joint = query.contiguous(), joint.contiguous()
        mixed: Tensor
        mixed, weights = ctx.sentences.attend(query, joint, keep)
        ctx.save_for_backward(query, joint, weights)
        return mixed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_query, of_joint = ctx.sentences.attend_back(*ctx.saved_tensors, gradients[0].contiguous())
        return of_query, of_joint, None, None, None, None


def add_dropped(
    x: Tensor, update: Tensor, threshold: int, generator: torch.Generator | None
) -> Tensor | None:
    """Return x + dropout(update), or None where C cannot.

    Args:
        x: float32.
        update: of x's shape, float32 or bfloat16.
        threshold: of 256 numbers, how many are dropped, below 256.
        generator: what is drawn from, one number; None: torch's own.
    """
    if x.dtype != torch.float32 or x.shape != update.shape or not kernels.fits(x, update):
        return None
    seed = int(torch.empty((), dtype=torch.int64).random_(generator=generator))
    drawn = kernels.Drawn(seed, threshold, 256 / (256 - threshold))
    result: Tensor = _AddDropped.apply(x, update, drawn)  # type: ignore[no-untyped-call]
    return result


class _AddDropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, update: Tensor, drawn: kernels.Drawn) -> Tensor:
        ctx.drawn, ctx.dtype = drawn, update.dtype
        return kernels.add_dropped(x.contiguous(), update.contiguous(), drawn, torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_update = kernels.add_dropped(None, gradients[0].contiguous(), ctx.drawn, ctx.dtype)
        return gradients[0], of_update, None


def normalise(norm: nn.LayerNorm, x: Tensor, dtype: torch.dtype) -> Tensor | None:
    """Return a layer norm of rows, (R, D) float32, in float32 or bfloat16, or None where C cannot."""
    is_fit = x.dim() == 2 and x.dtype == norm.weight.dtype == torch.float32
    if not is_fit or dtype not in (torch.float32, torch.bfloat16) or not kernels.fits(x, width=x.size(1)):
        return None
    result: Tensor = _Normalise.apply(x, norm.weight, norm.bias, norm.eps, dtype)  # type: ignore[no-untyped-call]
    return result


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, dtype: torch.dtype
    ) -> Tensor:
        x = x.contiguous()
        y, mean, inverse = kernels.normalise(x, weight, bias, epsilon, dtype)
        ctx.save_for_backward(x, weight, mean, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        found = kernels.normalise_back(x, weight, mean, inverse, gradients[0].contiguous())
        return *found, None, None
