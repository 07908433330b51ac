"""Sinusoidal position encodings (Vaswani et al. 2017, §3.5)."""

import math

import torch
from torch import Tensor


def sinusoids(length: int, width: int, *, base: float = 10_000.0) -> Tensor:
    """Return the table of position encodings, (length, width) float32, with a row for each position p.

    Column j of the left half is sin(p / base^(2j/width)); column j of the right half is the cosine of the
    same angle. (The paper interleaves sines and cosines; Marian and Pegasus separate them, as here.)
    """
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(base) / width))
    angle = torch.arange(length)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)
