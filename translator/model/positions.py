"""Where a token stands: sinusoidal positions (Vaswani et al. 2017, §3.5)."""

import math

import torch
from torch import Tensor


def sinusoids(length: int, width: int, *, device: torch.device | str | None = None) -> Tensor:
    """Return the position table, (length, width) float32, as [sin | cos] halves.

    Column j of the left half is sin(p / 10000^(2j/width)), that of the right half its cosine. The paper
    interleaves the two; to the weights it is the same, and Pegasus and Marian read halves.
    """
    frequency = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angle = torch.arange(length, device=device)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)
