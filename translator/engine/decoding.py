"""The decoding engine. It encodes whole sources, then appends one token to every hypothesis per step.

The engine computes the same results as `Transformer`, from the same weights. The tensors of a decoding step
are so small that the duration of the step depends mainly on its number of operations. The code therefore
calls as few operations as possible, and calls them directly instead of through modules.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.engine.kv_cache import ALIGNMENT, DecoderState
from translator.engine.quantized import Linear, Precision, feed_forward, linear
from translator.model.attention import KeyValue
from translator.model.layers import Layer, Stack
from translator.model.masks import padding_mask
from translator.model.transformer import EncoderOutput, Transformer


class _Layer(NamedTuple):
    """The functions that make up a Transformer layer, in the order in which a pre-norm layer calls them.

    In the layers of an encoder, `cross` is None.
    """

    self_norm: Callable[[Tensor], Tensor]
    query_key_value: Linear
    self_output: Linear
    cross: "_Cross | None"
    feed_norm: Callable[[Tensor], Tensor]
    feed_forward: Linear


class _Cross(NamedTuple):
    norm: Callable[[Tensor], Tensor]
    query: Linear
    key_value: Linear
    output: Linear


class DecodingEngine:
    """A model prepacked for decoding. It has no state, so concurrent searches can share it."""

    def __init__(self, model: Transformer, *, precision: Precision = "float32"):
        """Copy and prepack the model's current weights. `quantized.linear` explains `precision`."""
        first = model.decoder.layers[0]
        self.model = model
        self.width, self.n_heads = first.self_attention.width, first.self_attention.n_heads  # D, H
        self.pre_norm = first.pre_norm
        self.embedding = model.embedding.weight.detach() * model.embedding.embedding_dim**0.5
        self.encoder = _prepack(model.encoder, precision)
        self.decoder = _prepack(model.decoder, precision)
        self.encoder_norm, self.decoder_norm = _norm(model.encoder.norm), _norm(model.decoder.norm)
        self.logits = linear(model.embedding.weight, precision=precision)

    def encode(self, source_ids: Tensor) -> EncoderOutput:
        """Encode padded source ids, (B, S) int64, to states (B, S, D) and a padding mask."""
        (n_sentences, length), mask = source_ids.shape, padding_mask(source_ids)
        positions = self.model.position_table(length)[:length]
        x = (F.embedding(source_ids, self.embedding) + positions).flatten(0, 1)  # (B · S, D)
        for layer in self.encoder:
            qkv = layer.query_key_value(layer.self_norm(x) if self.pre_norm else x)
            query, key, value = self._split_heads(qkv, n_sentences).chunk(3, 1)
            x = layer.self_output(self._attend(query, KeyValue(key, value), mask), x)
            x = x if self.pre_norm else layer.self_norm(x)
            x = self._feed_forward(layer, x)
        return EncoderOutput(self.encoder_norm(x).view(n_sentences, length, -1), mask)

    def start(self, memory: EncoderOutput) -> DecoderState:
        """Return the decoder state before the first target token, with one hypothesis per sentence."""
        states, mask = memory.states.detach(), memory.mask  # detached: `DecoderState` is modified in place
        cross = [layer.cross.key_value(states) for layer in self.decoder if layer.cross]  # (B, S, 2 D)
        n_padding = -mask.size(-1) % ALIGNMENT
        if 0 < n_padding <= ALIGNMENT // 2:
            cross = [F.pad(kv, (0, 0, 0, n_padding)) for kv in cross]
            mask = F.pad(mask, (0, n_padding))
        heads = [self._split_heads(kv, len(states)) for kv in cross]  # (B, 2 H, S, E)
        return DecoderState(
            self_kv=[kv[:, :, :0] for kv in heads],
            cross_kv=[KeyValue(*kv.chunk(2, 1)) for kv in heads],
            cross_bias=None if bool(mask.all()) else as_bias(mask, states.dtype),
            ancestor_bias=states.new_empty(len(states), 1, 0),
            n_keys=0,
            length=0,
        )

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Append one token to each hypothesis, and compute the logits of the token after it.

        Self-attention treats the W hypotheses of a sentence as W query positions. Each hypothesis attends
        only to its own tokens (see `DecoderState`).

        Args:
            tokens: (B, W) int64, the tokens to append.
            state: the decoder state after the previous tokens. It is updated in place.

        Returns:
            The logits of the next token, (B, W, V).
        """
        n_sentences, n_hypotheses = tokens.shape
        start, bias = state.append(n_hypotheses)
        position = self.model.position_table(state.length)[state.length - 1]
        x = F.embedding(tokens.flatten(), self.embedding) + position  # (B · W, D)
        for layer, kv, cross_kv in zip(self.decoder, state.self_kv, state.cross_kv, strict=True):
            x = self._self_attention(layer, x, kv, start, bias)
            x = self._cross_attention(layer, x, cross_kv, state.cross_bias)
            x = self._feed_forward(layer, x)
        return self.logits(self.decoder_norm(x)).view(n_sentences, n_hypotheses, -1)

    def _self_attention(
        self, layer: _Layer, x: Tensor, cache: Tensor, start: int, bias: Tensor | None
    ) -> Tensor:
        """Compute the self-attention sublayer, (B · W, D) → (B · W, D).

        The keys and values of the new tokens are first written to `cache`, starting at column `start`.
        """
        n_sentences, n_heads = len(cache), self.n_heads
        qkv = layer.query_key_value(layer.self_norm(x) if self.pre_norm else x)  # (B · W, 3 D)
        # `Tensor.split` would be slower, because it is written in Python.
        query, new = self._split_heads(qkv, n_sentences).split_with_sizes([n_heads, 2 * n_heads], 1)
        cache.narrow(2, start, new.size(2)).copy_(new)
        n_keys = start + new.size(2) if bias is None else bias.size(3)
        kv = KeyValue(*cache.narrow(2, 0, n_keys).chunk(2, 1))
        x = layer.self_output(self._attend(query, kv, bias), x)
        return x if self.pre_norm else layer.self_norm(x)

    def _cross_attention(self, layer: _Layer, x: Tensor, kv: KeyValue, bias: Tensor | None) -> Tensor:
        """Compute the cross-attention sublayer, (B · W, D) → (B · W, D)."""
        cross = layer.cross
        assert cross is not None
        query = self._split_heads(cross.query(cross.norm(x) if self.pre_norm else x), len(kv.key))
        x = cross.output(self._attend(query, kv, bias), x)
        return x if self.pre_norm else cross.norm(x)

    def _feed_forward(self, layer: _Layer, x: Tensor) -> Tensor:
        """Compute the feed-forward sublayer, (rows, D) → (rows, D)."""
        x = layer.feed_forward(layer.feed_norm(x) if self.pre_norm else x, x)
        return x if self.pre_norm else layer.feed_norm(x)

    def _attend(self, query: Tensor, kv: KeyValue, mask: Tensor | None) -> Tensor:
        """Compute attention, (B, H, L, E) → (B · L, D). The mask can be boolean or an additive bias."""
        attended = F.scaled_dot_product_attention(query, kv.key, kv.value, attn_mask=mask)
        return attended.transpose(1, 2).reshape(-1, self.width)

    def _split_heads(self, x: Tensor, n_sentences: int) -> Tensor:
        """Reshape (B · L, N · E) or (B, L, N · E) to (B, N, L, E), where N is any multiple of H."""
        head_width = self.width // self.n_heads
        return x.view(n_sentences, -1, x.size(-1) // head_width, head_width).transpose(1, 2)


def as_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert a boolean mask to an additive one: 0 where the mask is True, -inf where it is False."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)


def _prepack(stack: Stack, precision: Precision) -> list[_Layer]:
    def maps(*parts: nn.Linear) -> Linear:
        weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
        return linear(weight, bias, precision=precision)

    def float32(part: nn.Linear) -> Linear:
        return linear(part.weight, part.bias)

    def cross_of(layer: Layer) -> _Cross | None:
        cross = layer.cross_attention
        if cross is None:
            return None
        return _Cross(
            _norm(layer.cross_norm), maps(cross.query), float32(cross.key_value), maps(cross.output)
        )

    def flat(layer: Layer) -> _Layer:
        attention, feed = layer.self_attention, layer.feed_forward
        return _Layer(
            self_norm=_norm(layer.self_norm),
            query_key_value=maps(attention.query, attention.key_value),
            self_output=maps(attention.output),
            cross=cross_of(layer),
            feed_norm=_norm(layer.feed_norm),
            feed_forward=feed_forward(feed.inner, feed.outer, feed.activation, precision),
        )

    return [flat(layer) for layer in stack.layers]


def _norm(norm: nn.Module) -> Callable[[Tensor], Tensor]:
    if not isinstance(norm, nn.LayerNorm):
        return norm  # an `nn.Identity`, because a post-norm stack has no final norm
    shape, eps = norm.normalized_shape, norm.eps
    weight, bias = norm.weight.detach().clone(), norm.bias.detach().clone()
    return lambda x: torch.layer_norm(x, shape, weight, bias, eps)
