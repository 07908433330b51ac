"""Initial embeddings from co-occurrence counts: pieces that occur in similar contexts start close together.

In the first minutes of training, a model mostly learns which pieces are used alike and which are translations
of each other. Counting co-occurrences in the training pairs gives much of this knowledge within seconds.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from translator.symbols import PAD

#: Maximum number of pairs that are counted. If there are more, an evenly spaced sample is counted.
_MAX_PAIRS = 200_000
#: Maximum distance, in pieces, at which two pieces of a sentence count as neighbours.
_WINDOW = 3
#: A source piece and a target piece of a pair count as exp(-8 · distance) co-occurrences, where distance is
#: the difference between their relative positions (0 to 1) in the two sentences.
_SHARPNESS = 8.0
#: Norm of the random part of each embedding; the whole embedding has a norm of about 1. The random part
#: separates the embeddings of pieces that have equal counts.
_NOISE = 0.3


def cooccurrence_embeddings(train: Any, n_pieces: int, width: int) -> Tensor:
    """Return embeddings, computed by a truncated SVD of the positive pointwise mutual information (PPMI).

    The method is that of Levy & Goldberg 2014, with context smoothing and singular value weighting as in
    Levy, Goldberg & Dagan 2015. A random rotation, drawn from torch's global generator, spreads the leading
    singular directions over all attention heads.

    Args:
        train: a dataset with columns `source_ids` and `target_ids`, lists of ids.
        n_pieces: number V of pieces in the vocabulary. Peak memory is about 8 V² bytes.
        width: width D of the embeddings.

    Returns:
        A float32 tensor (V, D), whose rows have about unit length. Rows of pieces that are never counted are
        random.
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
    """Count co-occurrences within sentences and between source and target, as a symmetric matrix (V, V)."""
    counts = torch.zeros(n_pieces**2)
    rows = torch.linspace(0, len(train) - 1, min(len(train), _MAX_PAIRS), dtype=torch.float64).long()
    for batch in train.select(rows.numpy()).iter(batch_size=200):
        source, target = (
            pad_sequence([torch.tensor(ids) for ids in batch[side]], batch_first=True, padding_value=PAD)
            for side in ("source_ids", "target_ids")
        )
        for left, right in ((source, target), (source, source), (target, target)):
            weights = _neighbours(left) if left is right else _parallel(left, right)
            weights = weights * ((left != PAD)[:, :, None] & (right != PAD)[:, None])  # (B, L, L')
            cells = left[:, :, None] * n_pieces + right[:, None]
            counts.scatter_add_(0, cells.flatten(), weights.flatten())
    square = counts.view(n_pieces, n_pieces)
    return square + square.T


def _neighbours(ids: Tensor) -> Tensor:
    """Return a weight for each pair of positions, (B, L, L): 1 / (1 + distance) within the window, else 0.

    A piece is also its own neighbour, at distance 0. If it were not, a piece and its translation would have
    different rows of counts: each would occur with the other, but not with itself.
    """
    position = torch.arange(ids.size(1))
    distance = (position[:, None] - position).abs()
    within = torch.where(distance <= _WINDOW, 1 / (1 + distance), 0.0)
    return within.expand(len(ids), -1, -1)


def _parallel(source: Tensor, target: Tensor) -> Tensor:
    """Return weights (B, S, T) that decay with the distance between relative positions in the sentences.

    The weights approximate a word alignment, because translations of short sentences mostly keep the
    word order.
    """
    source_position, target_position = (
        torch.arange(ids.size(1)) / (ids != PAD).sum(1, keepdim=True).clamp(min=1)  # (B, L)
        for ids in (source, target)
    )
    return (-_SHARPNESS * (source_position[:, :, None] - target_position[:, None]).abs()).exp()
