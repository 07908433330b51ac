"""The loss: label-smoothed cross-entropy of the tied output layer, without all logits at once."""

from typing import Any

import torch
from torch import Tensor

from translator.model import kernels
from translator.model.layers import narrow

#: Rows whose logits are in memory together, and on a CPU rows of them that are float32 together, so that they
#: stay in its cache. Forward and backward of (1200, 256) states and 8,000 pieces take 45 ms so, 55 with 256
#: and all of them (1 thread of an Intel Xeon with AMX, bfloat16).
CHUNK, WIDENED = 2048, 32


def token_loss(states: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return the label-smoothed loss and the plain one, each summed over tokens.

    The logits are `states` · `weight`ᵀ. The target distribution gives 1 − smoothing + smoothing/V to the
    right piece and smoothing/V to each other (Szegedy et al. 2016, §7), as
    `F.cross_entropy(label_smoothing=…, reduction="sum")` does.

    Args:
        states: (R, D) float; rows beyond N count as nothing.
        weight: (V, D) float, of the output layer.
        targets: (N,) int64, N ≤ R.
        smoothing: share spread over the vocabulary.

    Returns:
        Two scalars, float32 or wider; only the first has a gradient.
    """
    smoothed, plain = _TokenLoss.apply(states, weight, targets, smoothing)  # type: ignore[no-untyped-call]
    return smoothed, plain


class _TokenLoss(torch.autograd.Function):
    """Computes the gradient along with the value, some rows at a time: each exponential is taken once, and
    no (N, V) tensor is float32 under autocast or outlives its chunk.

    The smoothing's part is linear in the logits, so it needs no pass over them: their mean is states · (mean
    row of the weight), and its gradient is the same for every piece.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        narrow_states, narrow_weight = narrow(states), narrow(weight)
        wide = torch.promote_types(narrow_weight.dtype, torch.float32)
        widened = WIDENED if states.device.type == "cpu" else CHUNK
        of_states: list[Tensor] = []
        of_weight: Tensor | None = None
        plain = torch.zeros((), dtype=wide, device=states.device)
        log_z_sum = torch.zeros_like(plain)
        for start in range(0, len(states), CHUNK):
            chunk = slice(start, start + CHUNK)
            logits = narrow_states[chunk] @ narrow_weight.t()  # (rows, V); they become their own gradient
            right = targets[chunk]
            by_rows, n_rows = (kernels.loss_rows, CHUNK) if kernels.fits(logits) else (loss_rows, widened)
            counted = torch.split(logits[: len(right)], n_rows)
            for some, pieces in zip(counted, torch.split(right, n_rows), strict=True):
                # softmax − target distribution, without the latter's constant smoothing/V
                log_z, right_logit = by_rows(some, pieces, 1 - smoothing)
                plain += (log_z - right_logit).sum()
                log_z_sum += log_z.sum()
            if not any(ctx.needs_input_grad):
                continue
            logits[len(right) :] = 0  # rows that do not count
            of_states.append(logits @ narrow_weight)
            of_chunk = logits.t() @ narrow_states[chunk]
            of_weight = of_chunk if of_weight is None else of_weight.to(wide) + of_chunk
        mean_row, state_sum = weight.to(wide).mean(0), states[: len(targets)].to(wide).sum(0)  # (D,) each
        smoothed = (1 - smoothing) * plain + smoothing * (log_z_sum - state_sum @ mean_row)
        if of_weight is not None:
            of_each_row = smoothing / len(weight) * state_sum
            ctx.save_for_backward(torch.cat(of_states), of_weight, smoothing * mean_row, of_each_row)
            ctx.n, ctx.wide, ctx.dtypes = len(targets), wide, (states.dtype, weight.dtype)
        ctx.mark_non_differentiable(plain)
        return smoothed, plain

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Widened, scaled and corrected only here: two passes fewer over a (V, D) tensor, 1 % of a step.
        of_states, of_weight, of_each_state, of_each_row = ctx.saved_tensors
        states_dtype, weight_dtype = ctx.dtypes
        state_gradient = of_states.to(ctx.wide) * gradients[0]
        state_gradient[: ctx.n] -= of_each_state * gradients[0]
        weight_gradient = (of_weight.to(ctx.wide) * gradients[0]).sub_(of_each_row * gradients[0])
        return state_gradient.to(states_dtype), weight_gradient.to(weight_dtype), None, None


def loss_rows(logits: Tensor, right: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Turn logits into softmax − `share` at the right piece, in place, as `kernels.loss_rows` does."""
    wide_logits, one = logits.to(torch.promote_types(logits.dtype, torch.float32)), right[:, None]
    peak, right_logit = wide_logits.amax(1), wide_logits.gather(1, one)[:, 0]
    probability = wide_logits.softmax(1)
    log_z = peak - probability.amax(1).log()
    logits.copy_(probability.scatter_add_(1, one, probability.new_full(one.shape, -share)))
    return log_z, right_logit
