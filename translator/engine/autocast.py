"""The dtype that autocast uses for matrix products."""

import torch
from torch import Tensor


def autocast_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype to which autocast converts x in matrix products, or, without autocast, its dtype."""
    device = x.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return x.dtype
    return torch.get_autocast_dtype(device)


def to_autocast_dtype(x: Tensor) -> Tensor:
    """Convert x to the autocast dtype. The products that read x then need not convert it once each."""
    return x.to(autocast_dtype(x))
