"""Initial embeddings from co-occurrence counts: pieces that occur together start out close.

Much of what a model learns in its first minutes is which pieces are used alike and which translate which. One
pass over the pairs says so in seconds.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from translator.symbols import PAD

#: At most this many pairs are counted, evenly spaced.
_MAX_PAIRS = 200_000
#: Neighbours within a side are those at most this far away.
_WINDOW = 3
#: How fast the weight falls with the distance between relative places: e⁻¹ at an eighth of the line.
_SHARPNESS = 8.0
#: Standard deviation of the noise relative to the row; it separates pieces with equal counts.
_NOISE = 0.3


def count_embeddings(train: Any, n_pieces: int, width: int) -> Tensor:
    """Return embeddings from positive pointwise mutual information and its leading singular vectors.

    Levy & Goldberg 2014; contexts smoothed and singular values weighted as in Levy, Goldberg & Dagan 2015. A
    random rotation spreads the leading directions over all heads. Draws from torch's global generator.

    Args:
        train: columns `source_ids` and `target_ids`, lists of ids.
        n_pieces: V; the peak is about 8 V² bytes.
        width: D.

    Returns:
        (V, D) float32, rows of about unit length; those of pieces that never occur are random.
    """
    counts = _counts(train, n_pieces)
    seen = counts.sum(1)
    context = seen**0.75
    ratio = counts.div_(seen[:, None]).div_(context / context.sum())
    information = ratio.log_().nan_to_num_(0.0, 0.0, 0.0).clamp_(min=0)
    information = (information + information.T).div_(2)
    vectors, values, _ = torch.svd_lowrank(information, q=min(n_pieces, width + 16), niter=3)
    vectors = F.normalize(vectors[:, :width] * values[:width].sqrt())
    rotation, _ = torch.linalg.qr(torch.randn(width, width))
    noise = torch.randn(n_pieces, width) * width**-0.5
    mixed = (1 - _NOISE**2) ** 0.5 * (vectors @ rotation[: vectors.size(1)]) + _NOISE * noise
    return torch.where(seen[:, None] > 0, mixed, noise)


def _counts(train: Any, n_pieces: int) -> Tensor:
    """Symmetric co-occurrence counts, (V, V): within each side, and at similar places of both sides."""
    counts = torch.zeros(n_pieces**2)
    rows = torch.linspace(0, len(train) - 1, min(len(train), _MAX_PAIRS), dtype=torch.float64).long()
    for batch in train.select(rows.numpy()).iter(batch_size=200):
        source, target = (
            pad_sequence([torch.tensor(ids) for ids in batch[side]], batch_first=True, padding_value=PAD)
            for side in ("source_ids", "target_ids")
        )
        for one, other in ((source, target), (source, source), (target, target)):
            weights = _neighbours(one) if one is other else _parallel(one, other)
            weights = weights * ((one != PAD)[:, :, None] & (other != PAD)[:, None])  # (B, L, L')
            places = one[:, :, None] * n_pieces + other[:, None]
            counts.scatter_add_(0, places.flatten(), weights.flatten())
    square = counts.view(n_pieces, n_pieces)
    return square + square.T


def _neighbours(ids: Tensor) -> Tensor:
    """1 / (1 + distance) within the window, (B, L, L).

    The diagonal counts too; without it, pieces would differ from their translations by their side alone.
    """
    at = torch.arange(ids.size(1))
    distance = (at[:, None] - at).abs()
    within = torch.where(distance <= _WINDOW, 1 / (1 + distance), 0.0)
    return within.expand(len(ids), -1, -1)


def _parallel(source: Tensor, target: Tensor) -> Tensor:
    """Falling with the distance of relative places, since short translations keep the order; (B, S, T)."""
    one, other = (
        torch.arange(ids.size(1)) / (ids != PAD).sum(1, keepdim=True).clamp(min=1)  # (B, L)
        for ids in (source, target)
    )
    return (-_SHARPNESS * (one[:, :, None] - other[:, None]).abs()).exp()
