"""Attention: one class for its three roles. Only where queries, keys and values come from differs.

| role                    | queries from    | keys and values from | may look at                        |
|-------------------------|-----------------|----------------------|------------------------------------|
| encoder self-attention  | French          | French               | every real French token            |
| decoder self-attention  | English so far  | English so far       | itself and earlier tokens          |
| decoder cross-attention | English so far  | the encoder's output | every real French token: no causal |
|                         |                 |                      | mask, the source has no "future"   |

So a caller projects a memory once (`project`) and attends to it from anywhere (`forward`). What was
projected is a value that the caller keeps: cross-attention projects the source once a sentence, and a search
(`packed.py`) keeps what decoder self-attention projected of the tokens before.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.model import kernels
from translator.model.attend import attend
from translator.model.compiled import attend_rows, attends
from translator.model.dropout import Dropout
from translator.model.unpadding import Unpadding


class KeyValue(NamedTuple):
    """Projected keys and values, each (B, H, K, E)."""

    key: Tensor
    value: Tensor


class Rows(NamedTuple):
    """Projected keys and values of a memory without padding that is attended to as it is."""

    joint: Tensor  # (R, 2 D), keys beside values
    unpadding: Unpadding


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, §3.2)."""

    def __init__(self, width: int, n_heads: int, *, memory_width: int | None = None, dropout: float = 0.0):
        """Make a head group.

        Args:
            width: D, of the queries and of the result.
            n_heads: H; divides the width.
            memory_width: M, of what is attended to, where it is not D (image features, audio frames …).
            dropout: share of the attention weights dropped while training.

        Raises:
            ValueError: the heads do not divide the width; the message names both.
        """
        super().__init__()
        if width % n_heads:
            raise ValueError(f"width={width} is not a multiple of n_heads={n_heads}")
        self.width, self.n_heads = width, n_heads
        self.memory_width = width if memory_width is None else memory_width
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(self.memory_width, 2 * width)
        self.output = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def project(self, memory: Tensor, unpadding: Unpadding | None = None) -> "KeyValue | Rows":
        """Turn what is to be attended to into keys and values.

        Args:
            memory: (B, K, M) float; without padding, (R, M).
            unpadding: of the memory.

        Returns:
            Keys and values, each (B, H, K, E), or the rows that hold them.

        Raises:
            ValueError: `memory` is not M wide; the message names both widths.
        """
        if memory.size(-1) != self.memory_width:
            raise ValueError(f"memory is {memory.size(-1)} wide, this attention reads {self.memory_width}")
        joint = self.key_value(memory)  # (B, K, 2 D)
        if unpadding is not None and kernels.in_use():
            return Rows(joint, unpadding)
        return KeyValue(*self._split(joint, unpadding, n_parts=2))

    def forward(
        self,
        query: Tensor,
        kv: KeyValue | Rows,
        keep: Tensor | None = None,
        *,
        unpadding: Unpadding | None = None,
        record: list[Tensor] | None = None,
    ) -> Tensor:
        """Attend from each query position over the given keys and values.

        Args:
            query: (B, Q, D) float; the input of the sublayer. Without padding, (R, D).
            kv: keys and values from `project`.
            keep: bool, broadcastable to (B, H, Q, K); True where a query may look. None: everywhere.
            unpadding: of the queries.
            record: the attention weights, (B, H, Q, K), are appended to it; each row sums to one.

        Returns:
            As `query`, in its dtype outside autocast.

        Raises:
            ValueError: `query` is not D wide; the message names both widths.

        Invariant: positions where `keep` is False never change the result.
        """
        if query.size(-1) != self.width:
            raise ValueError(f"query is {query.size(-1)} wide, this attention reads {self.width}")
        q: Tensor = self.query(query)
        result: Tensor
        probability = self.dropout.probability if self.training else 0.0
        if isinstance(kv, Rows):
            is_plain = record is None and probability == 0 and attends(q, kv.joint, keep, self.n_heads)
            if unpadding is not None and is_plain:
                result = self.output(attend_rows(q, kv.joint, keep, unpadding, kv.unpadding, self.n_heads))
                return result
            kv = KeyValue(*self._split(kv.joint, kv.unpadding, n_parts=2))
        (q,) = self._split(q, unpadding)  # (B, H, Q, E)
        on_cpu_with_gradients = q.device.type == "cpu" and torch.is_grad_enabled()
        mixed: Tensor  # (B, H, Q, E)
        if record is None and not on_cpu_with_gradients:
            # One step of a beam of 5, 10 tokens long: 13 µs, plain products 24 µs.
            mixed = F.scaled_dot_product_attention(q, *kv, attn_mask=keep, dropout_p=probability)
        elif record is None and probability == 0:
            mixed = attend(q, *kv, keep)
        else:
            weights = attention_weights(q, kv.key, keep)
            if record is not None:
                record.append(weights)
            mixed = self.dropout(weights) @ kv.value
        result = self.output(self._merge(mixed, unpadding))
        return result

    def _split(self, x: Tensor, unpadding: Unpadding | None, n_parts: int = 1) -> tuple[Tensor, ...]:
        """(B, L, parts · D) or without padding (R, parts · D) → a (B, H, L, E) for each part."""
        if unpadding is not None:
            return unpadding.split(x, self.n_heads, n_parts)
        return x.view(*x.shape[:2], n_parts * self.n_heads, -1).transpose(1, 2).chunk(n_parts, 1)

    def _merge(self, x: Tensor, unpadding: Unpadding | None) -> Tensor:
        """(B, H, L, E) → (B, L, D) or without padding (R, D)."""
        return x.transpose(1, 2).flatten(2) if unpadding is None else unpadding.merge(x)


def attention_weights(query: Tensor, key: Tensor, keep: Tensor | None) -> Tensor:
    """Return softmax(query · keyᵀ / √E) over the keys that may be looked at.

    Args:
        query: (B, H, Q, E).
        key: (B, H, K, E).
        keep: bool, broadcastable to (B, H, Q, K), with at least one True in each row; None: everywhere.

    Returns:
        (B, H, Q, K), each row summing to one, exactly zero where `keep` is False.
    """
    scores: Tensor = (query * query.size(-1) ** -0.5) @ key.transpose(-1, -2)  # (B, H, Q, K)
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    return scores.softmax(-1)
