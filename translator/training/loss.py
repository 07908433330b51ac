"""The loss: label-smoothed cross-entropy."""

from typing import Any

import torch
from torch import Tensor


def token_loss(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return the label-smoothed loss and the plain one, each summed over tokens.

    The target distribution gives 1 − smoothing + smoothing/V to the right piece and smoothing/V to each
    other (Szegedy et al. 2016, §7), as `F.cross_entropy(label_smoothing=…, reduction="sum")` does.

    Args:
        logits: (N, V) float.
        targets: (N,) int64.
        smoothing: share spread over the vocabulary.

    Returns:
        Two scalars, float32 or wider; only the first has a gradient.
    """
    smoothed, plain = _SmoothedCrossEntropy.apply(logits, targets, smoothing)  # type: ignore[no-untyped-call]
    return smoothed, plain


class _SmoothedCrossEntropy(torch.autograd.Function):
    """Forward and backward in a few passes over (N, V), in float32 or wider.

    Autograd's own chain (log_softmax, nll_loss, mean) writes several more tensors of that size: (2700, 6000)
    bfloat16 logits take 0.33 s, `F.cross_entropy` 0.24 s, this 0.09 s (1 thread, AMD Zen 4).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        wide = _wide(logits)
        log_z = wide.logsumexp(1)  # (N,)
        plain = (log_z - wide.gather(1, targets[:, None])[:, 0]).sum()
        smoothed = (1 - smoothing) * plain + smoothing * (log_z - wide.mean(1)).sum()
        ctx.save_for_backward(logits, log_z, targets)
        ctx.smoothing = smoothing
        ctx.mark_non_differentiable(plain)
        return smoothed, plain

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        logits, log_z, targets = ctx.saved_tensors
        # d loss / d logits = softmax − target distribution
        gradient = (_wide(logits) - log_z[:, None]).exp_().sub_(ctx.smoothing / logits.size(1))
        right = torch.full_like(log_z, ctx.smoothing - 1)[:, None]
        gradient.scatter_add_(1, targets[:, None], right)
        return gradient.mul_(gradients[0]).to(logits.dtype), None, None


def _wide(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
