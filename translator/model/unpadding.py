"""Batches without their padding: what is done at each position by itself is done at real tokens only.

A padded batch is a grid (B, L); its n real tokens alone are rows (R, D). Only attention needs the grid, so
layers hold rows, and attention splits queries, keys and values into heads on a grid and merges its result
into rows. Each is one pass over memory: when to pad and to take heads apart were two, a step took 1.03 times
as long at width 256 (2 threads of an AMD Zen 5). The rows beyond n, at least one and as many as make R
round, stand for padding: they are finite, nothing reads them and their gradient is zero.
"""

from dataclasses import dataclass, field
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
        starts: (B + 1,) int64, each sentence's first row, and n.
        orders: what `split` and `merge` have worked out, by numbers of heads and parts.
    """

    shape: tuple[int, int]
    n: int
    places: Tensor
    rows: Tensor
    starts: Tensor
    orders: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, real: Tensor) -> "Unpadding":
        """Find what is real: (B, L) bool."""
        found = real.flatten().nonzero()[:, 0]
        n = len(found)
        places = torch.cat([found, found.new_zeros(round_number(n) - n)])
        rows = torch.full((real.numel(),), n, device=real.device)
        rows[found] = torch.arange(n, device=real.device)
        starts = torch.cat([found.new_zeros(1), real.sum(1).cumsum(0)])
        return cls((real.size(0), real.size(1)), n, places, rows, starts)

    def ids(self, grid: Tensor, fill: int) -> Tensor:
        """(B, L) ids → (R,), those beyond n being `fill`."""
        rows = grid.flatten()[self.places]
        rows[self.n :] = fill
        return rows

    def split(self, rows: Tensor, n_heads: int, n_parts: int) -> tuple[Tensor, ...]:
        """(R, parts · H · E) → a (B, H, L, E) for each part, something finite at padding."""
        flat = rows.view(-1, rows.size(1) // (n_parts * n_heads))  # (R · parts · H, E)
        to_grid, to_rows = self._orders(n_heads, n_parts)
        picked: Tensor = _Pick.apply(flat, to_grid, to_rows, self.n * n_parts * n_heads)  # type: ignore[no-untyped-call]
        return picked.view(n_parts, self.shape[0], n_heads, self.shape[1], -1).unbind()

    def merge(self, heads: Tensor) -> Tensor:
        """(B, H, L, E) → (R, H · E)."""
        n_heads, head_width = heads.size(1), heads.size(3)
        to_grid, to_rows = self._orders(n_heads, 1)
        rows: Tensor = _Pick.apply(heads.reshape(-1, head_width), to_rows, to_grid, None)  # type: ignore[no-untyped-call]
        return rows.view(-1, n_heads * head_width)

    def _orders(self, n_heads: int, n_parts: int) -> tuple[Tensor, Tensor]:
        """For each (part, b, h, l) its number among (r, part, h), and the other way round; all layers ask."""
        found = self.orders.get((n_heads, n_parts))
        if found is None:
            (n_batch, length), device = self.shape, self.rows.device
            part = torch.arange(n_parts, device=device).view(-1, 1, 1, 1)
            head = torch.arange(n_heads, device=device).view(-1, 1)
            row = self.rows.view(n_batch, 1, length)
            to_grid = (row * n_parts + part) * n_heads + head
            part, head, place = part.view(-1, 1), head.view(-1), self.places.view(-1, 1, 1)
            b, at = place // length, place % length
            to_rows = ((part * n_batch + b) * n_heads + head) * length + at
            found = self.orders[n_heads, n_parts] = (to_grid.flatten(), to_rows.flatten())
        return found


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
