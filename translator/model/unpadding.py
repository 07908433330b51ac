"""Batches without their padding: what is done at each position by itself is done at real tokens only.

A padded batch is a grid (B, L); its n real tokens alone are rows (R, D). Only attention needs the grid, so
layers hold rows, and attention pads queries, keys and values and unpads its result. The rows beyond n,
at least one and as many as make R round, stand for padding: they are finite, nothing reads them and their
gradient is zero.
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
        places: (R,) int64, for each row its place in the grid, b · L + l; 0 for those beyond n.
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
        places = torch.cat([found, found.new_zeros(round_number(n) - n)])
        rows = torch.full((real.numel(),), n, device=real.device)
        rows[found] = torch.arange(n, device=real.device)
        return cls((real.size(0), real.size(1)), n, places, rows)

    def ids(self, grid: Tensor, fill: int) -> Tensor:
        """(B, L) ids → (R,), those beyond n being `fill`."""
        rows = grid.flatten()[self.places]
        rows[self.n :] = fill
        return rows

    def unpad(self, grid: Tensor) -> Tensor:
        """(B, L, D) → (R, D)."""
        rows: Tensor = _Pick.apply(grid.flatten(0, 1), self.places, self.rows, None)  # type: ignore[no-untyped-call]
        return rows

    def pad(self, rows: Tensor) -> Tensor:
        """(R, D) → (B, L, D), something finite at padding."""
        grid: Tensor = _Pick.apply(rows, self.rows, self.places, self.n)  # type: ignore[no-untyped-call]
        return grid.view(*self.shape, -1)


def round_number(n: int) -> int:
    """Return the next number above n that is at most four binary digits and zeros: 8 of them to a doubling.

    oneDNN compiles a bfloat16 product for each number of rows that it meets. So there are few, for 4 to 5 %
    more rows, and kernels and blocks of memory are met again: a step at width 256 takes 328 ms with 8 to a
    doubling, 346 with 16, 369 with 32 (2 threads of an Intel Xeon with AMX, 256 kernels kept).
    """
    unit = 1 << max(0, n.bit_length() - 4)
    return (n // unit + 1) * unit


class _Pick(torch.autograd.Function):
    """Pick rows; since each real one is picked once, to go back is to pick too, and not to add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, chosen: Tensor, back: Tensor, n_rows: int | None) -> Tensor:
        ctx.back, ctx.n_rows = back, n_rows  # of x; those beyond it take no gradient
        return x.index_select(0, chosen)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gradient = gradients[0].index_select(0, ctx.back)
        if ctx.n_rows is not None:
            gradient[ctx.n_rows :] = 0
        return gradient, None, None, None
