"""Scores that a model gives to existing translations, by teacher forcing."""

from collections.abc import Sequence

import torch

from translator.data.batching import make_batch
from translator.engine.runtime import device_of
from translator.model.transformer import Transformer
from translator.symbols import PAD


@torch.inference_mode()
def target_log_probs(
    model: Transformer, sources: Sequence[Sequence[int]], *, targets: Sequence[Sequence[int]], batch_size: int
) -> list[float]:
    """Return Σ log p of each target, end symbol included, given its source.

    Args:
        model: the model, in evaluation mode.
        sources: token ids without start and end symbols.
        targets: token ids of their translations, one per source.
        batch_size: pairs per batch. Pairs of similar length are batched together.
    """
    pairs = list(zip(sources, targets, strict=True))
    order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i][1]), len(pairs[i][0]), i))
    scores = [0.0] * len(pairs)
    for start in range(0, len(pairs), batch_size):
        rows = order[start : start + batch_size]
        batch = make_batch([pairs[i][0] for i in rows], [pairs[i][1] for i in rows])
        batch = batch.to(device_of(model))
        log_probs = model(batch.source_ids, batch.target_in).float().log_softmax(-1)
        of_targets = log_probs.gather(2, batch.target_out[..., None])[..., 0].double()  # (B, T)
        totals = of_targets.masked_fill(batch.target_out == PAD, 0).sum(1)
        for row, total in zip(rows, totals.tolist(), strict=True):
            scores[row] = total
    return scores
