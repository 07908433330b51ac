"""Label-smoothed cross-entropy of the tied output layer, without all logits in memory at once."""

from typing import Any

import torch
from torch import Tensor

from translator.engine.autocast import to_autocast_dtype
from translator.engine.native import Native

#: Rows whose logits are in memory together; on a CPU, rows of them that are widened to float32 together, so
#: that they stay in its cache.
CHUNK, FLOAT32_ROWS = 2048, 32


def cross_entropy(
    states: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float, *, native: Native | None = None
) -> tuple[Tensor, Tensor]:
    """Return the label-smoothed loss and the negative log-likelihood, each summed over tokens.

    The logits are `states` · `weight`ᵀ. The target distribution gives 1 − ε + ε/V to the target and ε/V to
    every other piece (Szegedy et al. 2016, §7), as `F.cross_entropy(label_smoothing=ε, reduction="sum")`.

    Args:
        states: (R, D) float; rows beyond N are ignored.
        weight: (V, D) float, of the output layer.
        targets: (N,) int64, N ≤ R.
        label_smoothing: ε.
        native: the C operations; None: PyTorch alone.

    Returns:
        Two scalars, float32 or wider; only the first has a gradient.
    """
    smoothed, nll = _CrossEntropy.apply(states, weight, targets, label_smoothing, native)  # type: ignore[no-untyped-call]
    return smoothed, nll


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradient along with the value, a chunk of rows at a time: each exponential is taken once,
    and no (N, V) tensor is float32 under autocast or outlives its chunk.

    The smoothing term is linear in the logits and needs no pass over them: their mean is states · (mean row
    of the weight), and its gradient is the same for every piece.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        targets: Tensor,
        label_smoothing: float,
        native: Native | None,
    ) -> tuple[Tensor, Tensor]:
        narrow_states, narrow_weight = to_autocast_dtype(states), to_autocast_dtype(weight)
        wide = torch.promote_types(narrow_weight.dtype, torch.float32)
        d_states: list[Tensor] = []
        d_weight: Tensor | None = None
        nll = torch.zeros((), dtype=wide, device=states.device)
        log_z_sum = torch.zeros_like(nll)
        for start in range(0, len(states), CHUNK):
            chunk = slice(start, start + CHUNK)
            logits = narrow_states[chunk] @ narrow_weight.t()  # (rows, V); they become their own gradient
            some = targets[chunk]
            log_z, target_logit = _softmax_cross_entropy_(
                logits[: len(some)], some, 1 - label_smoothing, native
            )
            nll += (log_z - target_logit).sum()
            log_z_sum += log_z.sum()
            if not any(ctx.needs_input_grad):
                continue
            logits[len(some) :] = 0  # ignored rows
            d_states.append(logits @ narrow_weight)
            d_chunk = logits.t() @ narrow_states[chunk]
            d_weight = d_chunk if d_weight is None else d_weight.to(wide) + d_chunk
        mean_row, state_sum = weight.to(wide).mean(0), states[: len(targets)].to(wide).sum(0)  # (D,) each
        smoothed = (1 - label_smoothing) * nll + label_smoothing * (log_z_sum - state_sum @ mean_row)
        if d_weight is not None:
            d_each_row = label_smoothing / len(weight) * state_sum
            ctx.save_for_backward(torch.cat(d_states), d_weight, label_smoothing * mean_row, d_each_row)
            ctx.n, ctx.wide, ctx.dtypes = len(targets), wide, (states.dtype, weight.dtype)
        ctx.mark_non_differentiable(nll)
        return smoothed, nll

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Widened, scaled and corrected only here: two passes fewer over a (V, D) tensor, 1 % of a step.
        states, weight, d_each_state, d_each_row = ctx.saved_tensors
        d_states = states.to(ctx.wide) * gradients[0]
        d_states[: ctx.n] -= d_each_state * gradients[0]
        d_weight = (weight.to(ctx.wide) * gradients[0]).sub_(d_each_row * gradients[0])
        return d_states.to(ctx.dtypes[0]), d_weight.to(ctx.dtypes[1]), None, None, None


def _softmax_cross_entropy_(
    logits: Tensor, targets: Tensor, confidence: float, native: Native | None
) -> tuple[Tensor, Tensor]:
    """What `Native.softmax_cross_entropy_` does, by it or by PyTorch."""
    if native is not None and native.supports(logits):
        return native.softmax_cross_entropy_(logits, targets, confidence)
    n_rows = FLOAT32_ROWS if logits.device.type == "cpu" else CHUNK
    found = [
        softmax_cross_entropy_(rows, some, confidence)
        for rows, some in zip(torch.split(logits, n_rows), torch.split(targets, n_rows), strict=True)
    ]
    log_z, target_logit = zip(*found, strict=True)
    return torch.cat(log_z), torch.cat(target_logit)


def softmax_cross_entropy_(logits: Tensor, targets: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """Turn logits into softmax − confidence · one_hot(target), in place; see `Native`."""
    wide_logits, column = logits.to(torch.promote_types(logits.dtype, torch.float32)), targets[:, None]
    peak, target_logit = wide_logits.amax(1), wide_logits.gather(1, column)[:, 0]
    probability = wide_logits.softmax(1)
    log_z = peak - probability.amax(1).log()
    logits.copy_(probability.scatter_add_(1, column, probability.new_full(column.shape, -confidence)))
    return log_z, target_logit
