"""What may be looked at. The only file that states the polarity: True = may be looked at.

Masks are boolean, named `*_keep`, and broadcast to (B, H, Q, K). Decoding adds a `*_bias` instead, which the
fused kernel takes without converting it: 0 = may be looked at, -inf = may not.
"""

import torch
from torch import Tensor

from translator.symbols import PAD


def padding_keep(ids: Tensor) -> Tensor:
    """Hide padding as a key: (B, K) ids → (B, 1, 1, K) bool."""
    return (ids != PAD)[:, None, None, :]


def causal_keep(length: int, *, device: torch.device | str | None = None) -> Tensor:
    """Hide the future: (1, 1, length, length) bool, True where key position ≤ query position."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]


def as_bias(keep: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what to add to attention's scores instead: 0 where `keep` is True, -inf elsewhere."""
    return torch.zeros(keep.shape, dtype=dtype, device=keep.device).masked_fill(~keep, -torch.inf)
