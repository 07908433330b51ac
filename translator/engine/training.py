"""The training engine: the loss and gradients of `Transformer`, computed on packed rows.

`translator.model` defines what a training step computes. The engine does the same without padding
and with fused operations. If autocast is on, matrix products are computed in the autocast dtype.
`tests/engine/test_parity.py` checks that the loss and the gradients agree with those of `translator.model`.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from translator.data.batching import Batch
from translator.engine.autocast import autocast_dtype, to_autocast_dtype
from translator.engine.ops import DropoutRNG, Ops
from translator.engine.packing import PackedLayout
from translator.model.attention import Attention
from translator.model.layers import FeedForward, Layer, Stack
from translator.model.masks import causal_mask, padding_mask
from translator.model.transformer import Transformer
from translator.symbols import PAD


class TrainingEngine:
    """Computes a model's loss on packed batches, differentiable with respect to the model's parameters."""

    def __init__(self, model: Transformer, ops: Ops, *, generator: torch.Generator | None = None):
        """Wrap a model.

        Args:
            model: the model to train. Its `training` flag switches dropout on and off.
            ops: the operations to use.
            generator: random number generator of dropout on a CPU. None means torch's global generator.
        """
        self.model, self.ops, self.rng = model, ops, DropoutRNG(generator)

    def replica(self) -> "TrainingEngine":
        """Return an engine that shares this engine's weights, but has its own gradients and generator."""
        replica = copy.deepcopy(self.model)
        for parameter, shared in zip(replica.parameters(), self.model.parameters(), strict=True):
            parameter.data = shared.data
        return TrainingEngine(replica, self.ops, generator=torch.Generator())

    def loss(self, batch: Batch, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """Return the label-smoothed loss and the negative log-likelihood, each summed over target tokens."""
        states = self.states(batch.source_ids, batch.target_in)
        targets = batch.target_out[batch.target_out != PAD]
        return self.ops.cross_entropy(states, self.model.embedding.weight, targets, label_smoothing)

    def states(self, source_ids: Tensor, target_in: Tensor) -> Tensor:
        """Return what `Transformer.decode(encode(source_ids), target_in)` returns, but as packed rows.

        Args:
            source_ids: (B, S) int64, padded.
            target_in: (B, T) int64, padded.

        Returns:
            The states of the real target tokens in order, followed by extra rows (see `packing.py`), (R, D).
        """
        model = self.model
        source, target = PackedLayout.from_mask(source_ids != PAD), PackedLayout.from_mask(target_in != PAD)
        # Source and target share one lookup, because the backward of a lookup writes a dense (V, D) tensor.
        ids = torch.cat([source.pack_ids(source_ids, PAD), target.pack_ids(target_in, PAD)])
        positions = torch.cat([source.indices % source_ids.size(1), target.indices % target_in.size(1)])
        table = model.position_table(max(source_ids.size(1), target_in.size(1)))
        embedded = model.embedding(ids) * model.embedding.embedding_dim**0.5 + table[positions]
        embedded = self.ops.dropout(embedded, self._probability(model.dropout), self.rng)
        x, y = torch.split(embedded, [len(source.indices), len(target.indices)])
        source_mask, causal = padding_mask(source_ids), causal_mask(target_in.size(1), device=y.device)
        memory = to_autocast_dtype(self._stack(model.encoder, x, source, source_mask))
        return self._stack(model.decoder, y, target, causal, memory=(memory, source, source_mask))

    def _stack(
        self,
        stack: Stack,
        x: Tensor,
        layout: PackedLayout,
        mask: Tensor,
        *,
        memory: tuple[Tensor, PackedLayout, Tensor] | None = None,
    ) -> Tensor:
        """Compute `Stack.forward` on rows (R, D).

        Args:
            stack: the encoder or the decoder.
            x: (R, D), the embedded tokens.
            layout: layout of x.
            mask: mask of the self-attention.
            memory: for the decoder, the states, the layout and the mask of the encoder output; else None.
        """
        for layer in stack.layers:
            x = self._layer(layer, x, layout, mask, memory=memory)
        if isinstance(stack.norm, nn.LayerNorm):
            x = self.ops.layer_norm(stack.norm, x, x.dtype)
        return x

    def _layer(
        self,
        layer: Layer,
        x: Tensor,
        layout: PackedLayout,
        mask: Tensor,
        *,
        memory: tuple[Tensor, PackedLayout, Tensor] | None,
    ) -> Tensor:
        """Compute `Layer.forward` on rows (R, D)."""
        x = self._residual(
            layer,
            layer.self_norm,
            x,
            lambda h: self._attend(layer.self_attention, h, h, mask, layout, layout),
        )
        cross = layer.cross_attention
        if cross is not None and memory is not None:
            states, memory_layout, memory_mask = memory
            x = self._residual(
                layer,
                layer.cross_norm,
                x,
                lambda h: self._attend(cross, h, states, memory_mask, layout, memory_layout),
            )
        return self._residual(layer, layer.feed_norm, x, lambda h: self._feed_forward(layer.feed_forward, h))

    def _residual(
        self, layer: Layer, norm: nn.LayerNorm, x: Tensor, sublayer: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Compute `Layer._residual` on rows. The sublayer's input is converted to the autocast dtype."""
        h = self.ops.layer_norm(norm, x, autocast_dtype(x)) if layer.pre_norm else to_autocast_dtype(x)
        x = self.ops.dropout_add(x, sublayer(h), self._probability(layer.dropout), self.rng)
        return x if layer.pre_norm else self.ops.layer_norm(norm, x, x.dtype)

    def _attend(
        self,
        attention: Attention,
        h: Tensor,
        memory: Tensor,
        mask: Tensor,
        queries: PackedLayout,
        keys: PackedLayout,
    ) -> Tensor:
        """Compute `Attention.forward(h, project(memory), mask)` on rows."""
        attended = self.ops.varlen_attention(
            attention.query(h),
            attention.key_value(memory),
            mask,
            queries,
            keys,
            attention.n_heads,
            dropout=self._probability(attention.dropout),
            rng=self.rng,
        )
        output: Tensor = attention.output(attended)
        return output

    def _feed_forward(self, feed_forward: FeedForward, h: Tensor) -> Tensor:
        """Compute `FeedForward.forward` on rows."""
        inner = feed_forward.activation(feed_forward.inner(h))
        inner = self.ops.dropout(inner, self._probability(feed_forward.dropout), self.rng)
        output: Tensor = feed_forward.outer(inner)
        return output

    def _probability(self, dropout: nn.Dropout) -> float:
        return dropout.p if self.model.training else 0.0
