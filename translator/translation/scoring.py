"""Log-probabilities that a model assigns to given translations, computed by teacher forcing."""

from collections.abc import Sequence

import torch

from translator.data.batching import make_batch
from translator.engine.runtime import device_of
from translator.model.transformer import Transformer


@torch.inference_mode()
def token_log_probs(
    model: Transformer, sources: Sequence[Sequence[int]], *, targets: Sequence[Sequence[int]], batch_size: int
) -> list[list[float]]:
    """Return, for each target, log p of each of its tokens and of the end symbol, given its source.

    Args:
        model: the model, in evaluation mode.
        sources: token ids of each source, without the start symbol and the end symbol.
        targets: token ids of the translation of each source, without the start symbol and the end symbol.
        batch_size: maximum number of pairs in a batch. A batch contains pairs of similar length.
    """
    pairs = list(zip(sources, targets, strict=True))
    order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i][1]), len(pairs[i][0]), i))
    result: list[list[float]] = [[] for _ in pairs]
    for start in range(0, len(pairs), batch_size):
        rows = order[start : start + batch_size]
        batch = make_batch([pairs[i][0] for i in rows], [pairs[i][1] for i in rows])
        batch = batch.to(device_of(model))
        log_probs = model(batch.source_ids, batch.target_in).float().log_softmax(-1)
        of_targets = log_probs.gather(2, batch.target_out[..., None])[..., 0].double()  # (B, T)
        for row, values in zip(rows, of_targets.tolist(), strict=True):
            result[row] = values[: len(pairs[row][1]) + 1]
    return result
