"""Decoding with PyTorch: `translator.model`, with a key/value cache.

This engine runs on every device. On a CPU, it is used only where the C library is not available.
"""

import torch
from torch import Tensor

from translator.engine.kv_cache import DecoderState
from translator.engine.runtime import device_of
from translator.model.attention import KeyValue
from translator.model.layers import Layer
from translator.model.transformer import EncoderOutput, Transformer


class DecodingEngine:
    """Encodes whole sources, then appends one token to every hypothesis per step."""

    def __init__(self, model: Transformer, *, bfloat16: bool = False):
        """Wrap a model. If `bfloat16` is true, matrix products are computed in bfloat16, by autocast."""
        self.model, self.bfloat16 = model, bfloat16

    def encode(self, source_ids: Tensor) -> EncoderOutput:
        """Encode padded source ids, (B, S) int64, to states (B, S, D) and a padding mask."""
        with self._autocast():
            return self.model.encode(source_ids)

    def start(self, memory: EncoderOutput) -> DecoderState:
        """Return the decoder state before the first target token, with one hypothesis per sentence."""
        with self._autocast():
            cross = self.model.decoder.project(memory.states)
        past = [KeyValue(key[:, :, :0], value[:, :, :0]) for key, value in cross]
        return DecoderState(past, cross, memory.mask)

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Append one token to each hypothesis, and compute the logits of the token after it.

        Args:
            tokens: (B, W) int64, the tokens to append.
            state: the decoder state after the previous tokens. It is updated in place.

        Returns:
            The logits of the next token, (B, W, V).
        """
        model = self.model
        scaled = model.embedding(tokens) * model.embedding.embedding_dim**0.5
        x = scaled + model.position_table(state.length + 1)[state.length]  # (B, W, D)
        state.length += 1
        with self._autocast():
            for number, layer in enumerate(model.decoder.layers):
                x = _decode(layer, x, state, number)
            return model.logits(model.decoder.norm(x))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(device_of(self.model).type, dtype=torch.bfloat16, enabled=self.bfloat16)


def _decode(layer: Layer, x: Tensor, state: DecoderState, number: int) -> Tensor:
    """Apply a decoder layer to the newest token of each hypothesis, (B, W, D) → (B, W, D).

    In self-attention, each hypothesis is a sequence of its own. In cross-attention, the W hypotheses of a
    sentence are W query positions.
    """

    def self_attention(h: Tensor) -> Tensor:
        query = h.flatten(0, 1)[:, None]  # (B · W, 1, D)
        kv = state.append(number, layer.self_attention.project(query))
        return layer.self_attention(query, kv).view_as(h)  # type: ignore[no-any-return]

    cross = layer.cross_attention
    assert cross is not None
    x = layer.residual(layer.self_norm, x, self_attention)
    x = layer.residual(layer.cross_norm, x, lambda h: cross(h, state.cross[number], state.mask))
    return layer.residual(layer.feed_norm, x, layer.feed_forward)
