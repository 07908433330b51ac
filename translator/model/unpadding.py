"""Batches without their padding: what is done at each position by itself is done at real tokens only.

A padded batch is a grid (B, L); its n real tokens alone are rows (R, D), R = n + 1. Only attention needs the
grid, so layers hold rows, and attention pads queries, keys and values and unpads its result. The last row
stands for all padding: it is finite, nothing reads it and its gradient is zero.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Unpadding:
    """Where the real tokens of a padded batch stand.

    Attributes:
        shape: B and L.
        n: real tokens.
        places: (R,) int64, for each row its place in the grid, b · L + l; 0 for the last.
        rows: (B · L,) int64, for each place of the grid its row; n at padding.
    """

    shape: tuple[int, int]
    n: int
    places: Tensor
    rows: Tensor

    @classmethod
    def of(cls, real: Tensor) -> "Unpadding":
        """Find what is real: (B, L) bool."""
        found = real.flatten().nonzero()[:, 0]
        n = len(found)
        places = torch.cat([found, found.new_zeros(1)])
        rows = torch.full((real.numel(),), n, device=real.device)
        rows[found] = torch.arange(n, device=real.device)
        return cls((real.size(0), real.size(1)), n, places, rows)

    def ids(self, grid: Tensor, fill: int) -> Tensor:
        """(B, L) ids → (R,), the last being `fill`."""
        rows = grid.flatten()[self.places]
        rows[-1] = fill
        return rows

    def unpad(self, grid: Tensor) -> Tensor:
        """(B, L, D) → (R, D)."""
        rows: Tensor = _Pick.apply(grid.flatten(0, 1), self.places, self.rows, False)  # type: ignore[no-untyped-call]
        return rows

    def pad(self, rows: Tensor) -> Tensor:
        """(R, D) → (B, L, D), something finite at padding."""
        grid: Tensor = _Pick.apply(rows, self.rows, self.places, True)  # type: ignore[no-untyped-call]
        return grid.view(*self.shape, -1)


class _Pick(torch.autograd.Function):
    """Pick rows; since each real one is picked once, to go back is to pick too, and not to add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, chosen: Tensor, back: Tensor, from_rows: bool) -> Tensor:
        ctx.back, ctx.from_rows = back, from_rows
        return x.index_select(0, chosen)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gradient = gradients[0].index_select(0, ctx.back)
        if ctx.from_rows:
            gradient[-1] = 0
        return gradient, None, None, None
