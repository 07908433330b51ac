"""What may be looked at. The only file that states the polarity: True = may be looked at.

Masks are boolean, named `*_keep`, and broadcast to (B, H, Q, K).
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
