"""Packed (unpadded, varlen) batches: position-wise operations run on real tokens only.

A padded batch is a grid (B, L). Packed, its n real tokens are the first rows of (R, D), sentence after
sentence. Everything but attention works on rows; for attention, `split_heads` goes back to the grid and
`merge_heads` to rows. R is n rounded up (`round_rows`); the extra rows are finite, nothing reads them, and
their gradient is zero.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class PackedLayout:
    """Where the real tokens of a padded batch are.

    Attributes:
        shape: B and L.
        n_tokens: n, the number of real tokens.
        indices: (R,) int64, for each row its place in the flattened grid; 0 for the extra rows.
        inverse: (B · L,) int64, for each place of the flattened grid its row; n at padding.
        cu_seqlens: (B + 1,) int64, the first row of each sentence, then n.
        permutations: memo of `_permutations`, by number of heads and of parts.
    """

    shape: tuple[int, int]
    n_tokens: int
    indices: Tensor
    inverse: Tensor
    cu_seqlens: Tensor
    permutations: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, is_real: Tensor) -> "PackedLayout":
        """Return the layout of a batch: (B, L) bool, True at real tokens."""
        found = is_real.flatten().nonzero()[:, 0]
        n = len(found)
        indices = torch.cat([found, found.new_zeros(round_rows(n) - n)])
        inverse = torch.full((is_real.numel(),), n, device=is_real.device)
        inverse[found] = torch.arange(n, device=is_real.device)
        cu_seqlens = torch.cat([found.new_zeros(1), is_real.sum(1).cumsum(0)])
        return cls((is_real.size(0), is_real.size(1)), n, indices, inverse, cu_seqlens)

    def pack_ids(self, ids: Tensor, fill: int) -> Tensor:
        """(B, L) ids → (R,), `fill` in the extra rows."""
        rows = ids.flatten()[self.indices]
        rows[self.n_tokens :] = fill
        return rows

    def split_heads(self, rows: Tensor, n_heads: int, n_parts: int) -> tuple[Tensor, ...]:
        """(R, parts · H · E) → a (B, H, L, E) for each part; values at padding are finite."""
        flat = rows.view(-1, rows.size(1) // (n_parts * n_heads))  # (R · parts · H, E)
        to_grid, to_rows = self._permutations(n_heads, n_parts)
        heads: Tensor = _Permute.apply(flat, to_grid, to_rows, self.n_tokens * n_parts * n_heads)  # type: ignore[no-untyped-call]
        return heads.view(n_parts, self.shape[0], n_heads, self.shape[1], -1).unbind()

    def merge_heads(self, heads: Tensor) -> Tensor:
        """(B, H, L, E) → (R, H · E)."""
        n_heads, head_width = heads.size(1), heads.size(3)
        to_grid, to_rows = self._permutations(n_heads, 1)
        rows: Tensor = _Permute.apply(heads.reshape(-1, head_width), to_rows, to_grid, None)  # type: ignore[no-untyped-call]
        return rows.view(-1, n_heads * head_width)

    def _permutations(self, n_heads: int, n_parts: int) -> tuple[Tensor, Tensor]:
        """Index of (part, b, h, l) among (row, part, h), and the other way round; shared by all layers.

        Unpadding and splitting heads in one gather instead of two saves 3 % of a step.
        """
        found = self.permutations.get((n_heads, n_parts))
        if found is None:
            (n_batch, length), device = self.shape, self.inverse.device
            part = torch.arange(n_parts, device=device).view(-1, 1, 1, 1)
            head = torch.arange(n_heads, device=device).view(-1, 1)
            row = self.inverse.view(n_batch, 1, length)
            to_grid = (row * n_parts + part) * n_heads + head
            part, head, place = part.view(-1, 1), head.view(-1), self.indices.view(-1, 1, 1)
            b, at = place // length, place % length
            to_rows = ((part * n_batch + b) * n_heads + head) * length + at
            found = self.permutations[n_heads, n_parts] = (to_grid.flatten(), to_rows.flatten())
        return found


def round_rows(n: int) -> int:
    """Return the next number above n with at most four significant bits: 8 of them per power of two.

    oneDNN compiles a bfloat16 kernel for each number of rows it meets, and memory blocks are reused only
    between equal sizes: few distinct sizes are worth 4 to 5 % more rows (docs/performance.md).
    """
    unit = 1 << max(0, n.bit_length() - 4)
    return (n // unit + 1) * unit


class _Permute(torch.autograd.Function):
    """Gather rows. Each real row is gathered once, so backward is a gather, not a scatter-add."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor, n_rows: int | None) -> Tensor:
        ctx.inverse, ctx.n_rows = inverse, n_rows  # rows of x beyond n_rows get no gradient
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gradient = gradients[0].index_select(0, ctx.inverse)
        if ctx.n_rows is not None:
            gradient[ctx.n_rows :] = 0
        return gradient, None, None, None
