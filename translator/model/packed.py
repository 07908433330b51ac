"""The model as a search uses it: the source at once, then one token of every hypothesis at a time.

It computes what `Transformer` computes, from the same weights. The decoder is written out flat: at five rows
of 128 numbers, what counts is how few operations a step has (a step of one sentence with a beam of five took
2.3 ms by way of the modules and takes 1.0 ms here).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.attention import Attention, KeyValue
from translator.model.cache import ALIGNED, DecoderState, Memory
from translator.model.layers import Layer
from translator.model.linear import Linear, Map, Precision, feed_forward, linear, pack
from translator.model.masks import as_bias, padding_keep
from translator.model.transformer import Transformer


class _DecoderLayer(NamedTuple):
    """A layer's maps, in the order in which a step uses them."""

    self_norm: Map
    query_key_value: Linear
    self_output: Linear
    cross_norm: Map
    query: Linear
    cross_output: Linear
    feed_norm: Map
    feed_forward: Linear


class PackedTransformer:
    """A model's weights laid out for decoding; it has no state of its own, so one serves many searches."""

    def __init__(self, model: Transformer, *, precision: Precision = "float32"):
        """Take over a model's weights as they are now; `precision` is that of the linear maps."""
        layers = [layer for layer in model.decoder.layers if isinstance(layer, Layer)]
        self.model = model
        self.encoder = pack(model.encoder, precision)
        self.width = layers[0].self_attention.width  # D
        self.n_heads = layers[0].self_attention.n_heads  # H
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
        cross = [attention.key_value(states) for attention in self.attentions]  # (B, S, 2 D)
        missing = -keep.size(-1) % ALIGNED
        if 0 < missing <= ALIGNED // 2:
            cross = [F.pad(kv, (0, 0, 0, missing)) for kv in cross]
            keep = F.pad(keep, (0, missing))
        bias = None if bool(keep.all()) else as_bias(keep, states.dtype)
        heads = [self._split(kv, len(states)) for kv in cross]  # (B, 2 H, S, E)
        return DecoderState(
            past=[kv[:, :, :0] for kv in heads],
            cross=[KeyValue(kv[:, : self.n_heads], kv[:, self.n_heads :]) for kv in heads],
            cross_bias=bias,
            descent=states.new_empty(len(states), 1, 0),
            n_keys=0,
            length=0,
        )

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Read one more target token of each hypothesis.

        To attention, the W hypotheses of a sentence are W more positions, each of which sees its ancestors.

        Args:
            tokens: (B, W) int64.
            state: what was read before; the tokens are added to it.

        Returns:
            (B, W, V) logits of the token after it.
        """
        n_sentences, n_hypotheses = tokens.shape
        start, bias = state.add(n_hypotheses)
        position = self.model.position_table(state.length)[state.length - 1]
        # All of a step is row by row: (B · W, D).
        x = F.embedding(tokens.flatten(), self.embedding) + position
        for layer, past, cross in zip(self.layers, state.past, state.cross, strict=True):
            x = self._layer(layer, x, (past, start, bias), cross, state.cross_bias)
        return self.logits(self.norm(x)).view(n_sentences, n_hypotheses, -1)

    def _layer(
        self,
        layer: _DecoderLayer,
        x: Tensor,
        past: tuple[Tensor, int, Tensor | None],
        cross: KeyValue,
        cross_bias: Tensor | None,
    ) -> Tensor:
        """(B · W, D) → the same; keys and values of these tokens go into `past`, from a given column on."""
        pre, n_sentences = self.pre_norm, cross.key.size(0)
        columns, start, bias = past
        joint = layer.query_key_value(layer.self_norm(x) if pre else x)  # (B · W, 3 D)
        n_heads = self.n_heads
        # Not `split`, which is written in Python: 2 µs.
        query, key_value = self._split(joint, n_sentences).split_with_sizes([n_heads, 2 * n_heads], 1)
        n_new = key_value.size(2)
        columns.narrow(2, start, n_new).copy_(key_value)
        n_keys = start + n_new if bias is None else bias.size(3)
        kv = KeyValue(*columns.narrow(2, 0, n_keys).chunk(2, 1))
        x = layer.self_output(self._attend(query, kv, bias), x)
        if not pre:
            x = layer.self_norm(x)
        query = self._split(layer.query(layer.cross_norm(x) if pre else x), n_sentences)
        x = layer.cross_output(self._attend(query, cross, cross_bias), x)
        if not pre:
            x = layer.cross_norm(x)
        x = layer.feed_forward(layer.feed_norm(x) if pre else x, x)
        return x if pre else layer.feed_norm(x)

    def _attend(self, query: Tensor, kv: KeyValue, bias: Tensor | None) -> Tensor:
        """(B, H, W, E) queries → (B · W, D)."""
        mixed = F.scaled_dot_product_attention(query, kv.key, kv.value, attn_mask=bias)
        return mixed.transpose(1, 2).reshape(-1, self.width)

    def _split(self, x: Tensor, n_sentences: int) -> Tensor:
        """(B · L, heads · E) or (B, L, heads · E) → (B, heads, L, E)."""
        head_width = self.width // self.n_heads
        return x.view(n_sentences, -1, x.size(-1) // head_width, head_width).transpose(1, 2)


def _flat(layer: Layer, precision: Precision) -> _DecoderLayer:
    def maps(*parts: nn.Linear) -> Linear:
        weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
        return linear(weight, bias, precision=precision)

    own, cross, feed = layer.self_attention, layer.cross_attention, layer.feed_forward
    assert isinstance(cross, Attention)
    return _DecoderLayer(
        self_norm=_norm(layer.self_norm),
        query_key_value=maps(own.query, own.key_value),
        self_output=maps(own.output),
        cross_norm=_norm(layer.cross_norm),
        query=maps(cross.query),
        cross_output=maps(cross.output),
        feed_norm=_norm(layer.feed_norm),
        feed_forward=feed_forward(feed.inner, feed.outer, feed.activation, precision),
    )


def _norm(norm: nn.Module) -> Map:
    if not isinstance(norm, nn.LayerNorm):
        return norm  # post-norm layers need no last one
    shape, weight, bias, eps = norm.normalized_shape, norm.weight.detach(), norm.bias.detach(), norm.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, eps)
