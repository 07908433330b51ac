"""Label-smoothed cross-entropy of the output layer, without holding all logits in memory at once."""

from typing import Any

import torch
from torch import Tensor

from translator.engine.autocast import to_autocast_dtype
from translator.engine.native import Native

#: Logits are computed for `CHUNK` rows at a time. On a CPU without the C operations, they are converted to
#: float32 in blocks of `FLOAT32_ROWS` rows, because a block of this size stays in the CPU's cache.
CHUNK, FLOAT32_ROWS = 2048, 32


def cross_entropy(
    states: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float, *, native: Native | None = None
) -> tuple[Tensor, Tensor]:
    """Return the label-smoothed loss and the negative log-likelihood, each summed over tokens.

    The logits are `states` · `weight`ᵀ. The target distribution assigns 1 − ε + ε/V to the target and ε/V to
    every other token (Szegedy et al. 2016, §7), as in `F.cross_entropy(label_smoothing=ε, reduction="sum")`.
    Here ε is `label_smoothing`.

    Args:
        states: (R, D) float. Row i predicts target i. The rows after the first N are ignored.
        weight: (V, D) float, the weight of the output layer.
        targets: (N,) int64, N ≤ R.
        label_smoothing: ε.
        native: the C operations. If it is None, only PyTorch operations are used.

    Returns:
        Two scalars in float32 or a wider dtype. Only the first, the loss, has a gradient.
    """
    smoothed, nll = _CrossEntropy.apply(states, weight, targets, label_smoothing, native)  # type: ignore[no-untyped-call]
    return smoothed, nll


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy whose forward pass also computes the gradient, one chunk of rows at a time.

    Each exponential is therefore computed only once, and no logits have to be kept for the backward pass.

    The smoothing term needs the mean logit of each state. This mean is the product of the state and the mean
    row of `weight`. It is therefore computed without the logits, and its gradient is the same for each state.
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
        states_, weight_ = to_autocast_dtype(states), to_autocast_dtype(weight)
        sum_dtype = torch.promote_types(weight_.dtype, torch.float32)
        d_states: list[Tensor] = []
        d_weight: Tensor | None = None
        nll = torch.zeros((), dtype=sum_dtype, device=states.device)
        log_z_sum = torch.zeros_like(nll)
        for start in range(0, len(states), CHUNK):
            chunk = slice(start, start + CHUNK)
            logits = states_[chunk] @ weight_.t()  # (rows, V), overwritten with their gradient below
            chunk_targets = targets[chunk]
            n = len(chunk_targets)
            log_z, target_logit = _softmax_cross_entropy_(
                logits[:n], chunk_targets, 1 - label_smoothing, native
            )
            nll += (log_z - target_logit).sum()
            log_z_sum += log_z.sum()
            if not any(ctx.needs_input_grad):
                continue
            logits[n:] = 0  # so that the ignored rows get no gradient
            d_states.append(logits @ weight_)
            d_chunk = logits.t() @ states_[chunk]
            d_weight = d_chunk if d_weight is None else d_weight.to(sum_dtype) + d_chunk
        mean_row = weight.to(sum_dtype).mean(0)  # (D,)
        state_sum = states[: len(targets)].to(sum_dtype).sum(0)  # (D,)
        smoothed = (1 - label_smoothing) * nll + label_smoothing * (log_z_sum - state_sum @ mean_row)
        if d_weight is not None:
            d_each_row = label_smoothing / len(weight) * state_sum
            ctx.save_for_backward(torch.cat(d_states), d_weight, label_smoothing * mean_row, d_each_row)
            ctx.n, ctx.sum_dtype, ctx.dtypes = len(targets), sum_dtype, (states.dtype, weight.dtype)
        ctx.mark_non_differentiable(nll)
        return smoothed, nll

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # This method also adds the gradients from the mean logits, and converts dtypes. In the forward pass,
        # these two steps would take two more passes over a (V, D) tensor.
        states, weight, d_each_state, d_each_row = ctx.saved_tensors
        d_states = states.to(ctx.sum_dtype) * gradients[0]
        d_states[: ctx.n] -= d_each_state * gradients[0]
        d_weight = (weight.to(ctx.sum_dtype) * gradients[0]).sub_(d_each_row * gradients[0])
        return d_states.to(ctx.dtypes[0]), d_weight.to(ctx.dtypes[1]), None, None, None


def _softmax_cross_entropy_(
    logits: Tensor, targets: Tensor, confidence: float, native: Native | None
) -> tuple[Tensor, Tensor]:
    """Call `Native.softmax_cross_entropy_` if it supports the logits, else `softmax_cross_entropy_`."""
    if native is not None and native.supports(logits):
        return native.softmax_cross_entropy_(logits, targets, confidence)
    n_rows = FLOAT32_ROWS if logits.device.type == "cpu" else CHUNK
    results = [
        softmax_cross_entropy_(*block, confidence)
        for block in zip(torch.split(logits, n_rows), torch.split(targets, n_rows), strict=True)
    ]
    log_z, target_logit = zip(*results, strict=True)
    return torch.cat(log_z), torch.cat(target_logit)


def softmax_cross_entropy_(logits: Tensor, targets: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """Replace logits, in place, with softmax(logits) − confidence · one_hot(target).

    The arguments and results are those of `Native.softmax_cross_entropy_`, but the tensors can be on any
    device and the logits can have any float dtype.
    """
    float_logits, column = logits.to(torch.promote_types(logits.dtype, torch.float32)), targets[:, None]
    peak, target_logit = float_logits.amax(1), float_logits.gather(1, column)[:, 0]
    probability = float_logits.softmax(1)
    log_z = peak - probability.amax(1).log()
    logits.copy_(probability.scatter_add_(1, column, probability.new_full(column.shape, -confidence)))
    return log_z, target_logit
