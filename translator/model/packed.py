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
from translator.model.cache import ALIGNED, DecoderState, Memory
from translator.model.layers import Layer
from translator.model.linear import Map, Precision, linear, pack
from translator.model.masks import as_bias, itself_bias, padding_keep
from translator.model.transformer import Transformer


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
        cross = [attention.key_value(states) for attention in self.attentions]  # (B, S, 2 D)
        missing = -keep.size(-1) % ALIGNED
        if 0 < missing <= ALIGNED // 2:
            cross = [F.pad(kv, (0, 0, 0, missing)) for kv in cross]
            keep = F.pad(keep, (0, missing))
        bias = None if bool(keep.all()) else as_bias(keep, states.dtype)
        past = [kv[:, :0] for kv in cross]
        return DecoderState(past, cross, bias, states.new_empty(len(states), 1, 0), 0)

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
        first = state.descent.size(2)
        itself = itself_bias(n_hypotheses, like=state.descent).expand(n_sentences, -1, -1)
        state.descent = torch.cat([state.descent, itself], 2)  # (B, W, K)
        n_keys = state.descent.size(2)
        bias = None  # a lone hypothesis descends from all
        if n_hypotheses > 1:
            hidden = -n_keys % ALIGNED
            bias = F.pad(state.descent, (0, hidden), value=-torch.inf)[:, None]
            n_keys += hidden
        state.make_room(n_keys)
        position = self.model.position_table(state.length + 1)[state.length]
        state.length += 1
        # All of a step is row by row: (B · W, D).
        x = F.embedding(tokens.flatten(), self.embedding) + position
        for layer, past, cross in zip(self.layers, state.past, state.cross, strict=True):
            new = past[:, first : first + n_hypotheses]
            x = self._layer(layer, x, new, (past[:, :n_keys], bias), (cross, state.cross_bias))
        return self.logits(self.norm(x)).view(n_sentences, n_hypotheses, -1)

    def _layer(
        self,
        layer: _DecoderLayer,
        x: Tensor,
        new: Tensor,
        past: tuple[Tensor, Tensor | None],
        cross: tuple[Tensor, Tensor | None],
    ) -> Tensor:
        """(B · W, D) → the same; the keys and values go to `new`, (B, W, 2 D), a part of `past`."""
        pre, width = self.pre_norm, x.size(-1)
        joint = layer.query_key_value(layer.self_norm(x) if pre else x)  # (B · W, 3 D)
        new.copy_(joint[:, width:].view(new.shape))
        x = x + layer.self_output(self._attend(joint[:, :width], *past))
        if not pre:
            x = layer.self_norm(x)
        query = layer.query(layer.cross_norm(x) if pre else x)
        x = x + layer.cross_output(self._attend(query, *cross))
        if not pre:
            x = layer.cross_norm(x)
        x = x + layer.outer(layer.activation(layer.inner(layer.feed_norm(x) if pre else x)))
        return x if pre else layer.feed_norm(x)

    def _attend(self, query: Tensor, key_value: Tensor, bias: Tensor | None) -> Tensor:
        """(B · W, D) queries, (B, K, 2 D) keys and values → (B · W, D)."""
        n = len(key_value)
        key, value = self._split(key_value, n).chunk(2, 1)
        mixed = F.scaled_dot_product_attention(self._split(query, n), key, value, attn_mask=bias)
        return mixed.transpose(1, 2).reshape(query.shape)

    def _split(self, x: Tensor, n_sentences: int) -> Tensor:
        """(B · L, heads · E) or (B, L, heads · E) → (B, heads, L, E)."""
        return x.view(n_sentences, -1, x.size(-1) // self.head_width, self.head_width).transpose(1, 2)


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
