"""Packed batches, which contain the real tokens of all sentences, but no padding.

A padded batch is a tensor (B, L, D), and a packed batch is a tensor (R, D). Its first n rows are the n real
tokens, sentence by sentence. R is n, rounded up (see `round_rows`). The other rows, called extra rows,
contain arbitrary finite values. No result depends on these values, and their gradient is zero.

All operations work on rows, except PyTorch's attention, which needs the padded layout. `split_heads` converts
its inputs to that layout, and `merge_heads` converts its result back to rows.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class PackedLayout:
    """The layout of a packed batch: which position of the padded batch each row belongs to.

    Attributes:
        shape: (B, L), the number of sentences and the padded length.
        n_tokens: n, the number of real tokens.
        indices: (R,) int64, for each row, its position in the flattened padded batch; 0 for an extra row.
        inverse: (B · L,) int64, for each position of the flattened padded batch, its row; n for padding.
        cu_seqlens: (B + 1,) int64, cumulative lengths: the first row of each sentence, followed by n.
        permutations: a cache of the results of `_permutations`, under the keys (number of heads, number of
            parts).
    """

    shape: tuple[int, int]
    n_tokens: int
    indices: Tensor
    inverse: Tensor
    cu_seqlens: Tensor
    permutations: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def from_mask(cls, is_real: Tensor) -> "PackedLayout":
        """Return the layout of a batch, given a mask (B, L) that is True at real tokens."""
        tokens = is_real.flatten().nonzero()[:, 0]
        n = len(tokens)
        indices = torch.cat([tokens, tokens.new_zeros(round_rows(n) - n)])
        inverse = torch.full((is_real.numel(),), n, device=is_real.device)
        inverse[tokens] = torch.arange(n, device=is_real.device)
        cu_seqlens = torch.cat([tokens.new_zeros(1), is_real.sum(1).cumsum(0)])
        return cls((is_real.size(0), is_real.size(1)), n, indices, inverse, cu_seqlens)

    def pack_ids(self, ids: Tensor, fill: int) -> Tensor:
        """Pack ids (B, L) → (R,), with `fill` in the extra rows."""
        rows = ids.flatten()[self.indices]
        rows[self.n_tokens :] = fill
        return rows

    def split_heads(self, rows: Tensor, n_heads: int, n_parts: int) -> tuple[Tensor, ...]:
        """Unpack rows (R, parts · H · E) into one tensor (B, H, L, E) per part.

        For example, rows of concatenated keys and values have two parts. The values at padding are arbitrary,
        but finite.
        """
        flat = rows.view(-1, rows.size(1) // (n_parts * n_heads))  # (R · parts · H, E)
        to_padded, to_rows = self._permutations(n_heads, n_parts)
        heads: Tensor = _Permute.apply(flat, to_padded, to_rows, self.n_tokens * n_parts * n_heads)  # type: ignore[no-untyped-call]
        return heads.view(n_parts, self.shape[0], n_heads, self.shape[1], -1).unbind()

    def merge_heads(self, heads: Tensor) -> Tensor:
        """Pack heads (B, H, L, E) → (R, H · E)."""
        n_heads, head_width = heads.size(1), heads.size(3)
        to_padded, to_rows = self._permutations(n_heads, 1)
        rows: Tensor = _Permute.apply(heads.reshape(-1, head_width), to_rows, to_padded, None)  # type: ignore[no-untyped-call]
        return rows.view(-1, n_heads * head_width)

    def _permutations(self, n_heads: int, n_parts: int) -> tuple[Tensor, Tensor]:
        """Return the indices of the gather in `split_heads`, and those of the gather in `merge_heads`.

        The first gather both pads the rows and splits the heads: it turns the order (row, part, head) into
        (part, sentence, head, position). The second gather does the opposite. The indices are cached, because
        all layers use the same ones.
        """
        permutations = self.permutations.get((n_heads, n_parts))
        if permutations is None:
            (n_batch, length), device = self.shape, self.inverse.device
            part = torch.arange(n_parts, device=device).view(-1, 1, 1, 1)
            head = torch.arange(n_heads, device=device).view(-1, 1)
            row = self.inverse.view(n_batch, 1, length)
            to_padded = (row * n_parts + part) * n_heads + head
            part, head, index = part.view(-1, 1), head.view(-1), self.indices.view(-1, 1, 1)
            b, position = index // length, index % length
            to_rows = ((part * n_batch + b) * n_heads + head) * length + position
            permutations = self.permutations[n_heads, n_parts] = (to_padded.flatten(), to_rows.flatten())
        return permutations


def round_rows(n: int) -> int:
    """Return the smallest number above n that has at most four significant bits.

    There are only 8 such numbers from one power of two to the next. Having so few sizes saves time, because
    oneDNN compiles a bfloat16 kernel for each number of rows, and because memory blocks are reused only for
    tensors of equal size. The time saved exceeds the cost of the extra rows (docs/performance.md).
    """
    unit = 1 << max(0, n.bit_length() - 4)
    return (n // unit + 1) * unit


class _Permute(torch.autograd.Function):
    """Gather rows. Each real row is gathered exactly once, so that the backward pass is a gather as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor, n_rows: int | None) -> Tensor:
        ctx.inverse, ctx.n_rows = inverse, n_rows  # only the first `n_rows` rows of x get a gradient
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gradient = gradients[0].index_select(0, ctx.inverse)
        if ctx.n_rows is not None:
            gradient[ctx.n_rows :] = 0
        return gradient, None, None, None
