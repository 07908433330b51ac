"""The dtype that autocast uses for matrix products."""

import torch
from torch import Tensor


def autocast_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype to which autocast converts x in matrix products; without autocast, the dtype of x."""
    device = x.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return x.dtype
    return torch.get_autocast_dtype(device)


def to_autocast_dtype(x: Tensor) -> Tensor:
    """Convert x to `autocast_dtype(x)`, so that all matrix products with x can share one conversion."""
    return x.to(autocast_dtype(x))
