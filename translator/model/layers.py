"""A Transformer layer (self-attention, optional cross-attention, feed-forward) and a stack of layers.

With a padding mask, a stack is an encoder. With a causal mask, it is a language model. With a causal mask
and cross-attention, it is the decoder of a translation model. Sections (§) are those of Vaswani et al. 2017.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.attention import Attention, KeyValue

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


@dataclass(frozen=True)
class LayerOptions:
    """Hyperparameters shared by all layers of a model."""

    width: int  # D
    n_heads: int  # H
    feed_forward: int  # F
    dropout: float = 0.0  # on the output of each sublayer, and on the embeddings
    attention_dropout: float = 0.0  # on the attention weights
    activation_dropout: float = 0.0  # inside the feed-forward sublayer
    activation: Literal["relu", "gelu", "silu"] = "relu"
    norm: Literal["pre", "post"] = "pre"  # pre: x + f(norm(x)) with a sublayer f; post: norm(x + f(x))


@dataclass
class AttentionMaps:
    """Attention weights of a stack. Each list has one tensor (B, H, Q, K) per layer, from first to last."""

    self_attention: list[Tensor] = field(default_factory=list)
    cross_attention: list[Tensor] = field(default_factory=list)


class FeedForward(nn.Module):
    """Two linear layers with an activation in between, applied to each position separately (§3.3)."""

    def __init__(self, options: LayerOptions):
        super().__init__()
        self.inner = nn.Linear(options.width, options.feed_forward)
        self.outer = nn.Linear(options.feed_forward, options.width)
        self.dropout = nn.Dropout(options.activation_dropout)
        self.activation = ACTIVATIONS[options.activation]

    def forward(self, x: Tensor) -> Tensor:
        """Transform each position: (B, L, D) → (B, L, D)."""
        return self.outer(self.dropout(self.activation(self.inner(x))))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """An encoder layer (§3.1) or, if `cross` is true, a decoder layer, which also attends to a memory."""

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
        self.dropout = nn.Dropout(options.dropout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        *,
        cross: KeyValue | None = None,
        cross_mask: Tensor | None = None,
        maps: AttentionMaps | None = None,
    ) -> Tensor:
        """Apply the layer: (B, L, D) → (B, L, D).

        Args:
            mask: mask of self-attention, as in `Attention.forward`.
            cross: keys and values of the memory, from `project` of this layer's `cross_attention`.
            cross_mask: mask of cross-attention.
            maps: if given, an object to whose lists the attention weights are appended.
        """
        maps = AttentionMaps() if maps is None else maps
        attend, attend_memory = self.self_attention, self.cross_attention
        self_maps, cross_maps = maps.self_attention, maps.cross_attention
        x = self.residual(self.self_norm, x, lambda h: attend(h, attend.project(h), mask, maps=self_maps))
        if attend_memory is not None and cross is not None:
            x = self.residual(
                self.cross_norm, x, lambda h: attend_memory(h, cross, cross_mask, maps=cross_maps)
            )
        return self.residual(self.feed_norm, x, self.feed_forward)

    def residual(self, norm: nn.LayerNorm, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Add the output of a sublayer to its input. Pre-norm normalises the input, post-norm the sum."""
        if self.pre_norm:
            return x + self.dropout(sublayer(norm(x)))  # type: ignore[no-any-return]
        return norm(x + self.dropout(sublayer(x)))  # type: ignore[no-any-return]


class Stack(nn.Module):
    """A sequence of layers. If the layers are pre-norm layers, a final norm follows the last one."""

    def __init__(
        self, options: LayerOptions, n_layers: int, *, cross: bool = False, memory_width: int | None = None
    ):
        super().__init__()
        layers = (Layer(options, cross=cross, memory_width=memory_width) for _ in range(n_layers))
        self.layers: Sequence[Layer] = nn.ModuleList(layers)  # type: ignore[assignment]
        self.norm = nn.LayerNorm(options.width) if options.norm == "pre" else nn.Identity()

    def project(self, memory: Tensor) -> list[KeyValue]:
        """Project a memory (B, K, M) to keys and values for the cross-attention of each layer."""
        return [layer.cross_attention.project(memory) for layer in self.layers if layer.cross_attention]

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        *,
        cross: Sequence[KeyValue] | None = None,
        cross_mask: Tensor | None = None,
        maps: AttentionMaps | None = None,
    ) -> Tensor:
        """Apply all layers. `cross` has one entry per layer; the other arguments are passed to each layer."""
        for i, layer in enumerate(self.layers):
            x = layer(x, mask, cross=None if cross is None else cross[i], cross_mask=cross_mask, maps=maps)
        return self.norm(x)  # type: ignore[no-any-return]
