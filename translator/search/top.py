"""Selection of the best continuations of a beam, faster than `Tensor.topk` over all continuations."""

import torch
from torch import Tensor

#: Number of tokens per block. The vocabulary is divided into blocks, and only the blocks with the largest
#: maxima are searched, because on a CPU `topk` over the whole vocabulary takes longer than a step of the
#: model.
BLOCK = 100


def best_continuations(scores: Tensor, log_probs: Tensor, n_best: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best continuations of the hypotheses of each sentence.

    Args:
        scores: (B, W) float64, scores of the hypotheses.
        log_probs: (B, W, V) float, log-probabilities of the next token; -inf for masked tokens.
        n_best: number of continuations to return for each sentence.

    Returns:
        Three tensors (B, `n_best`), the best continuation first: the scores of the continuations (float64),
        the indices of the hypotheses that they continue (int64) and the ids of their last tokens (int64).
        Continuations with equal scores are ordered by the index of their hypothesis, then by token id. There
        is one exception: if several continuations tie for the last place, any of them may take it. If W · V
        is less than `n_best`, the missing continuations have scores of -inf.
    """
    n_tokens = log_probs.size(2)
    totals, index = _top(scores, log_probs, n_best)
    # `topk` returns equal scores in any order. Sentences with equal scores are therefore sorted stably.
    tied = totals[:, 1:] == totals[:, :-1]
    if bool(tied.any()):
        rows = (tied & totals[:, 1:].isfinite()).any(1).nonzero().flatten()
        everything = (scores[rows, :, None] + log_probs[rows]).flatten(1)
        in_order = everything.sort(dim=1, descending=True, stable=True)
        totals[rows], index[rows] = (
            in_order.values[:, : totals.size(1)],
            in_order.indices[:, : totals.size(1)],
        )
    missing = (0, n_best - totals.size(1))
    if missing[1] > 0:
        totals = torch.nn.functional.pad(totals, missing, value=-torch.inf)
        index = torch.nn.functional.pad(index, missing)
    parents = index.div(n_tokens, rounding_mode="floor")
    return totals, parents, index - parents * n_tokens


def _top(scores: Tensor, log_probs: Tensor, n_best: int) -> tuple[Tensor, Tensor]:
    """Return, for each sentence, the `n_best` highest scores of continuations and their indices.

    The highest score comes first. Equal scores can be in any order. The indices are those in the flattened
    (W, V) scores of all continuations.
    """
    n_hypotheses, n_tokens = log_probs.shape[1:]
    n_blocks = n_tokens // BLOCK
    scores = scores[..., None]  # (B, W, 1)
    if n_blocks * n_hypotheses <= n_best:
        everything = (scores + log_probs).flatten(1)
        top = everything.topk(min(n_best, everything.size(1)))
        return top.values, top.indices
    # Each of the n best lies in one of the n blocks with the largest maxima, or after the last full block.
    end = n_blocks * BLOCK
    blocks = log_probs[..., :end].view(*log_probs.shape[:2], n_blocks, BLOCK)  # (B, W, V / BLOCK, BLOCK)
    best = (scores + blocks.amax(-1)).flatten(1).topk(n_best).indices  # (B, n)
    parents = best.div(n_blocks, rounding_mode="floor")
    first = parents * n_tokens + (best - parents * n_blocks) * BLOCK
    index = (first[..., None] + torch.arange(BLOCK, device=first.device)).flatten(1)  # (B, n · BLOCK)
    values = log_probs.flatten(1).gather(1, index).view(-1, n_best, BLOCK)
    totals = (values + scores.squeeze(-1).gather(1, parents)[..., None]).flatten(1)
    if end < n_tokens:
        indices = torch.arange(n_hypotheses * n_tokens, device=first.device).view(n_hypotheses, n_tokens)
        index = torch.cat([index, indices[:, end:].flatten().expand(len(index), -1)], 1)
        totals = torch.cat([totals, (scores + log_probs[..., end:]).flatten(1)], 1)
    top = totals.topk(n_best)
    return top.values, index.gather(1, top.indices)
