"""Selection of the best continuations of a beam."""

from torch import Tensor
from torch.nn import functional as F


def best_continuations(scores: Tensor, log_probs: Tensor, n_best: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best continuations of the hypotheses of each sentence.

    Args:
        scores: (B, W) float64, scores of the hypotheses.
        log_probs: (B, W, V) float, log-probabilities of the next token; -inf for masked tokens.
        n_best: number of continuations to return for each sentence.

    Returns:
        Three tensors (B, `n_best`), the best continuation first: the scores of the continuations (float64),
        the indices of the hypotheses that they continue (int64) and the ids of their last tokens (int64).
        Continuations with equal scores are ordered by the index of their hypothesis, then by token id. If
        W · V is less than `n_best`, the missing continuations have scores of -inf.
    """
    n_tokens = log_probs.size(2)
    totals = (scores[..., None] + log_probs).flatten(1)  # (B, W · V)
    n = min(n_best, totals.size(1))
    # `topk` takes equal scores in any order. With one more score, it shows whether the order matters.
    top = totals.topk(min(n + 1, totals.size(1)))
    values, index = top.values[:, :n].contiguous(), top.indices[:, :n].contiguous()
    tied = (top.values[:, 1:] == top.values[:, :-1]) & top.values[:, 1:].isfinite()
    for row in tied.any(1).nonzero().flatten().tolist():
        in_order = totals[row].sort(descending=True, stable=True)
        values[row], index[row] = in_order.values[:n], in_order.indices[:n]
    values, index = F.pad(values, (0, n_best - n), value=-float("inf")), F.pad(index, (0, n_best - n))
    return values, index // n_tokens, index % n_tokens
