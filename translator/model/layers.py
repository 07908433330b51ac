"""A layer (self-attention, perhaps cross-attention, feed-forward) and a stack of them.

A stack without cross-attention and with a padding mask is an encoder; with a causal mask, a language
model; with cross-attention too, a translator's decoder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.attention import Attention, KeyValue, Rows
from translator.model.compiled import normalise
from translator.model.dropout import Dropout
from translator.model.unpadding import Unpadding

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


@dataclass(frozen=True)
class LayerOptions:
    """What all layers of a model share.

    Attributes:
        width: D.
        n_heads: H.
        feed_forward: F.
        dropout: on each sublayer's output.
        attention_dropout: on attention weights.
        activation_dropout: inside the feed-forward sublayer.
        activation: relu, gelu or silu.
        norm: pre: x + f(norm(x)), with one more norm at the end of a stack; post: norm(x + f(x)).
    """

    width: int
    n_heads: int
    feed_forward: int
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    activation: Literal["relu", "gelu", "silu"] = "relu"
    norm: Literal["pre", "post"] = "pre"


@dataclass
class Record:
    """Attention weights of a stack, a tensor (B, H, Q, K) a layer, first layer first."""

    self_attention: list[Tensor] = field(default_factory=list)
    cross_attention: list[Tensor] = field(default_factory=list)


class FeedForward(nn.Module):
    """Two linear maps with a non-linearity between them, at each position by itself (§3.3)."""

    def __init__(self, options: LayerOptions):
        super().__init__()
        self.inner = nn.Linear(options.width, options.feed_forward)
        self.outer = nn.Linear(options.feed_forward, options.width)
        self.dropout = Dropout(options.activation_dropout)
        self.activation = ACTIVATIONS[options.activation]

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, L, D)."""
        result: Tensor = self.outer(self.dropout(self.activation(self.inner(x))))
        return result


class Layer(nn.Module):
    """One layer; with `cross`, it also attends to a memory (§3.1)."""

    def __init__(self, options: LayerOptions, *, cross: bool = False, memory_width: int | None = None):
        super().__init__()
        width, heads, dropout = options.width, options.n_heads, options.attention_dropout
        self.pre_norm = options.norm == "pre"
        self.self_attention = Attention(width, heads, dropout=dropout)
        self.self_norm = nn.LayerNorm(width)
        self.cross_attention: Attention | None = None
        if cross:
            self.cross_attention = Attention(width, heads, memory_width=memory_width, dropout=dropout)
            self.cross_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(options)
        self.feed_norm = nn.LayerNorm(width)
        self.dropout = Dropout(options.dropout)

    def forward(
        self,
        x: Tensor,
        keep: Tensor | None,
        *,
        cross: KeyValue | Rows | None = None,
        cross_keep: Tensor | None = None,
        unpadding: Unpadding | None = None,
        record: Record | None = None,
    ) -> Tensor:
        """Run the layer.

        Args:
            x: (B, L, D); without padding, (R, D).
            keep: what self-attention may look at, broadcastable to (B, H, L, K); None: everything.
            cross: the memory, projected by this layer's `cross_attention`.
            cross_keep: what cross-attention may look at.
            unpadding: of x.
            record: takes the attention weights.

        Returns:
            As x.
        """
        h = self._before(self.self_norm, x)
        kv = self.self_attention.project(h, unpadding)
        weights = None if record is None else record.self_attention
        x = self._after(
            self.self_norm, x, self.self_attention(h, kv, keep, unpadding=unpadding, record=weights)
        )
        if self.cross_attention is not None and cross is not None:
            h = self._before(self.cross_norm, x)
            weights = None if record is None else record.cross_attention
            update = self.cross_attention(h, cross, cross_keep, unpadding=unpadding, record=weights)
            x = self._after(self.cross_norm, x, update)
        h = self._before(self.feed_norm, x)
        return self._after(self.feed_norm, x, self.feed_forward(h))

    def _before(self, norm: nn.LayerNorm, x: Tensor) -> Tensor:
        if not self.pre_norm:
            return narrow(x)
        done = normalise(norm, x, narrow_type(x))
        return narrow(norm(x)) if done is None else done

    def _after(self, norm: nn.Module, x: Tensor, update: Tensor) -> Tensor:
        x = self.dropout.add(x, update)
        return x if self.pre_norm else norm(x)


def narrow(x: Tensor) -> Tensor:
    """Return x as autocast has it in products, once for all the maps that read it, or as it is without."""
    return x.to(narrow_type(x))


def narrow_type(x: Tensor) -> torch.dtype:
    """Return what `narrow` makes of x."""
    device = x.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return x.dtype
    return torch.get_autocast_dtype(device)


class Stack(nn.Module):
    """Layers one after another, with a last norm where they are pre-norm."""

    def __init__(
        self, options: LayerOptions, n_layers: int, *, cross: bool = False, memory_width: int | None = None
    ):
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(options, cross=cross, memory_width=memory_width) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(options.width) if options.norm == "pre" else nn.Identity()

    def project(self, memory: Tensor, unpadding: Unpadding | None = None) -> list[KeyValue | Rows]:
        """Project a memory, (B, K, M) or without padding (R, M), for the cross-attention of each layer."""
        memory = narrow(memory)
        attentions = [layer.cross_attention for layer in self._layers()]
        return [attention.project(memory, unpadding) for attention in attentions if attention is not None]

    def forward(
        self,
        x: Tensor,
        keep: Tensor | None,
        *,
        cross: Sequence[KeyValue | Rows] | None = None,
        cross_keep: Tensor | None = None,
        unpadding: Unpadding | None = None,
        record: Record | None = None,
    ) -> Tensor:
        """Run all layers; `cross` holds one entry a layer (see `Layer.forward`)."""
        for i, layer in enumerate(self._layers()):
            x = layer(
                x,
                keep,
                cross=None if cross is None else cross[i],
                cross_keep=cross_keep,
                unpadding=unpadding,
                record=record,
            )
        normed: Tensor = self.norm(x)
        return normed

    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]
