"""Sinusoidal position encodings (Vaswani et al. 2017, §3.5)."""

import math

import torch
from torch import Tensor


def sinusoids(length: int, width: int, *, device: torch.device | str | None = None) -> Tensor:
    """Return the table of position encodings, (length, width) float32: a half of sines, a half of cosines.

    Column j of the left half is sin(p / 10000^(2j/width)); column j of the right half is the cosine. (The
    paper interleaves them. A model learns equally well from both orders, and Marian and Pegasus use halves.)
    """
    frequency = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angle = torch.arange(length, device=device)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)
