"""Multi-head attention: one class for its three roles, which differ only in their inputs and masks.

| role                    | queries from    | keys and values from | attends to                            |
|-------------------------|-----------------|----------------------|---------------------------------------|
| encoder self-attention  | French          | French               | every French token except padding     |
| decoder self-attention  | English so far  | English so far       | the token itself and earlier tokens   |
| decoder cross-attention | English so far  | encoder output       | every French token except padding     |

Keys and values come from a sequence called the memory. `project` computes them, `forward` attends to them.
"""

from typing import NamedTuple

from torch import Tensor, nn


class KeyValue(NamedTuple):
    """The keys and the values that were computed from a memory, each of shape (B, H, K, E)."""

    key: Tensor
    value: Tensor


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, §3.2)."""

    def __init__(self, width: int, n_heads: int, *, memory_width: int | None = None, dropout: float = 0.0):
        """Create the projections. `width` is D and `memory_width` is M, which is D by default.

        Raises:
            ValueError: `width` is not a multiple of `n_heads`; the message names both.
        """
        super().__init__()
        if width % n_heads:
            raise ValueError(f"width={width} is not a multiple of n_heads={n_heads}")
        self.width, self.n_heads = width, n_heads
        self.memory_width = width if memory_width is None else memory_width
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(self.memory_width, 2 * width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def project(self, memory: Tensor) -> KeyValue:
        """Project a memory (B, K, M) to keys and values. Raises ValueError if its width is not M."""
        if memory.size(-1) != self.memory_width:
            raise ValueError(f"memory is {memory.size(-1)} wide, this attention reads {self.memory_width}")
        key, value = self.key_value(memory).chunk(2, dim=-1)  # (B, K, D) each
        return KeyValue(self._split_heads(key), self._split_heads(value))

    def forward(
        self, query: Tensor, kv: KeyValue, mask: Tensor | None = None, *, maps: list[Tensor] | None = None
    ) -> Tensor:
        """Attend from each query position to the keys and values. Raises ValueError if `query` is not D wide.

        Args:
            query: (B, Q, D) float.
            kv: keys and values from `project`.
            mask: bool, broadcastable to (B, H, Q, K), True where a key may be attended to; None for no mask.
            maps: if given, a list to which the attention weights (B, H, Q, K) are appended.

        Returns:
            (B, Q, D), unaffected by the keys and values for which `mask` is False.
        """
        if query.size(-1) != self.width:
            raise ValueError(f"query is {query.size(-1)} wide, this attention reads {self.width}")
        q = self._split_heads(self.query(query))  # (B, H, Q, E)
        weights = attention_weights(q, kv.key, mask)  # (B, H, Q, K)
        if maps is not None:
            maps.append(weights)
        attended = self.dropout(weights) @ kv.value  # (B, H, Q, E)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))  # (B, Q, D)
        return output

    def _split_heads(self, x: Tensor) -> Tensor:
        """Split the last dimension into heads: (B, L, D) → (B, H, L, E)."""
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(query · keyᵀ / √E), (B, H, Q, K). Rows sum to one; entries are 0 where `mask` is False.

    Args:
        query: (B, H, Q, E).
        key: (B, H, K, E).
        mask: bool, broadcastable to (B, H, Q, K), with at least one True in each row; None for no mask.
    """
    scores: Tensor = (query * query.size(-1) ** -0.5) @ key.transpose(-1, -2)  # (B, H, Q, K)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1)
