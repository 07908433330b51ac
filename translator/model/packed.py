"""The model as a search uses it: the source at once, then one token of every hypothesis at a time.

It computes what `Transformer` computes, from the same weights. The decoder is written out flat: at five rows
of 128 numbers, what counts is how few operations a step has (a step of one sentence with a beam of five took
2.3 ms by way of the modules and takes 1.0 ms here).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.attention import Attention
from translator.model.cache import DecoderState, Memory
from translator.model.layers import Layer
from translator.model.linear import Map, Precision, linear, pack
from translator.model.masks import as_bias, itself_bias, padding_keep
from translator.model.transformer import Transformer

#: Sources are padded to a multiple of this where at most half of it is missing. Softmax on a CPU works on
#: as many numbers at once and on what is over one by one: attention of (64, 4, 5, 32) over 15 keys takes
#: 515 µs, over 16 it takes 224, over 17 it takes 261, over 24 it takes 337, over 32 it takes 313.
ALIGNED = 16


class _DecoderLayer(NamedTuple):
    """A layer's maps, in the order in which a step uses them."""

    self_norm: Map
    query_key_value: Map
    self_output: Map
    cross_norm: Map
    query: Map
    cross_output: Map
    feed_norm: Map
    inner: Map
    activation: Map
    outer: Map


class PackedTransformer:
    """A model's weights laid out for decoding; it has no state of its own, so one serves many searches."""

    def __init__(self, model: Transformer, *, precision: Precision = "float32"):
        """Take over a model's weights as they are now; `precision` is that of the linear maps."""
        layers = [layer for layer in model.decoder.layers if isinstance(layer, Layer)]
        self.model = model
        self.encoder = pack(model.encoder, precision)
        self.head_width = layers[0].self_attention.width // layers[0].self_attention.n_heads  # E
        self.embedding = model.embedding.weight.detach() * model.embedding.embedding_dim**0.5
        self.pre_norm = layers[0].pre_norm
        self.attentions = [layer.cross_attention for layer in layers if layer.cross_attention is not None]
        self.layers = [_flat(layer, precision) for layer in layers]
        self.norm = _norm(model.decoder.norm)
        self.logits = linear(model.embedding.weight, precision=precision)

    def encode(self, source_ids: Tensor) -> Memory:
        """Read the source: (B, S) int64 → states (B, S, D) and what of them is real."""
        keep = padding_keep(source_ids)
        return Memory(self.encoder(self.model.embed(source_ids), keep), keep)

    def start(self, memory: Memory) -> DecoderState:
        """Return the state before the first target token, one hypothesis a sentence."""
        keep, states = memory.keep, memory.states
        projected = (attention.key_value(states).flatten(0, 1) for attention in self.attentions)
        cross = [self._split(joint, len(states)).contiguous() for joint in projected]  # (B, 2 H, S, E)
        missing = -keep.size(-1) % ALIGNED
        if 0 < missing <= ALIGNED // 2:
            cross = [F.pad(kv, (0, 0, 0, missing)) for kv in cross]
            keep = F.pad(keep, (0, missing))
        bias = None if bool(keep.all()) else as_bias(keep, states.dtype)
        nothing = cross[0][:, :, :0]
        return DecoderState([nothing] * len(cross), cross, bias, states.new_empty(len(states), 1, 0), 0)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one more target token of each hypothesis.

        To attention, the W hypotheses of a sentence are W more positions, each of which sees its ancestors.

        Args:
            tokens: (B, W) int64.
            state: what was read before.

        Returns:
            (B, W, V) logits of the token after it, and the state after it.
        """
        n_sentences, n_hypotheses = tokens.shape
        itself = itself_bias(n_hypotheses, like=state.descent).expand(n_sentences, -1, -1)
        descent = torch.cat([state.descent, itself], 2)  # (B, W, K + W)
        bias = descent[:, None] if n_hypotheses > 1 else None  # a lone hypothesis descends from all
        position = self.model.position_table(state.length + 1)[state.length]
        x = (
            F.embedding(tokens.flatten(), self.embedding) + position
        )  # (B · W, D): all of a step is row by row
        past = []
        for layer, before, cross in zip(self.layers, state.past, state.cross, strict=True):
            x, kv = self._layer(layer, x, (before, bias), (cross, state.cross_bias))
            past.append(kv)
        after = DecoderState(past, state.cross, state.cross_bias, descent, state.length + 1)
        return self.logits(self.norm(x)).view(n_sentences, n_hypotheses, -1), after

    def _layer(
        self,
        layer: _DecoderLayer,
        x: Tensor,
        past: tuple[Tensor, Tensor | None],
        cross: tuple[Tensor, Tensor | None],
    ) -> tuple[Tensor, Tensor]:
        """(B · W, D) → the same and the keys and values with those of the new tokens, (B, 2 H, K + W, E)."""
        pre, width = self.pre_norm, x.size(-1)
        joint = layer.query_key_value(layer.self_norm(x) if pre else x)  # (B · W, 3 D)
        key_value = torch.cat([past[0], self._split(joint[:, width:], len(past[0]))], 2)
        x = x + layer.self_output(self._attend(joint[:, :width], key_value, past[1]))
        if not pre:
            x = layer.self_norm(x)
        query = layer.query(layer.cross_norm(x) if pre else x)
        x = x + layer.cross_output(self._attend(query, *cross))
        if not pre:
            x = layer.cross_norm(x)
        x = x + layer.outer(layer.activation(layer.inner(layer.feed_norm(x) if pre else x)))
        return x if pre else layer.feed_norm(x), key_value

    def _attend(self, query: Tensor, key_value: Tensor, bias: Tensor | None) -> Tensor:
        """(B · W, D) queries, (B, 2 H, K, E) keys and values → (B · W, D)."""
        key, value = key_value.chunk(2, 1)
        mixed = F.scaled_dot_product_attention(self._split(query, len(key)), key, value, attn_mask=bias)
        return mixed.transpose(1, 2).reshape(query.shape)

    def _split(self, x: Tensor, n_sentences: int) -> Tensor:
        """(B · L, heads · E) → (B, heads, L, E)."""
        length = len(x) // n_sentences
        return x.view(n_sentences, length, -1, self.head_width).transpose(1, 2)


def _flat(layer: Layer, precision: Precision) -> _DecoderLayer:
    def maps(*parts: nn.Linear) -> Map:
        weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
        return linear(weight, bias, precision=precision)

    own, cross = layer.self_attention, layer.cross_attention
    assert isinstance(cross, Attention)
    return _DecoderLayer(
        self_norm=_norm(layer.self_norm),
        query_key_value=maps(own.query, own.key_value),
        self_output=maps(own.output),
        cross_norm=_norm(layer.cross_norm),
        query=maps(cross.query),
        cross_output=maps(cross.output),
        feed_norm=_norm(layer.feed_norm),
        inner=maps(layer.feed_forward.inner),
        activation=layer.feed_forward.activation,
        outer=maps(layer.feed_forward.outer),
    )


def _norm(norm: nn.Module) -> Map:
    if not isinstance(norm, nn.LayerNorm):
        return norm  # post-norm layers need no last one
    shape, weight, bias, eps = norm.normalized_shape, norm.weight.detach(), norm.bias.detach(), norm.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, eps)
