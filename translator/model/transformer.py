"""The encoder-decoder Transformer: an encoder stack, a decoder stack and one shared embedding."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.initialisation import initialise
from translator.model.layers import AttentionMaps, LayerOptions, Stack
from translator.model.masks import causal_mask, padding_mask
from translator.model.positions import sinusoids


class EncoderOutput(NamedTuple):
    """The encoder's output for a batch of source texts."""

    states: Tensor  # (B, S, D) float
    mask: Tensor  # (B, 1, 1, S) bool, False at padding


class Transformer(nn.Module):
    """An encoder-decoder Transformer (Vaswani et al. 2017) with three-way tied embeddings.

    One matrix (V, D) is the source embedding, the target embedding and the output layer (Press & Wolf 2017).
    """

    def __init__(
        self,
        vocabulary_size: int,
        options: LayerOptions,
        *,
        n_encoder_layers: int,
        n_decoder_layers: int,
        max_length: int = 256,
        position_base: float = 10_000.0,
    ):
        """Create an untrained model. Positions up to `max_length` are precomputed; longer texts work too."""
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, options.width)
        self.dropout = nn.Dropout(options.dropout)
        self.encoder = Stack(options, n_encoder_layers)
        self.decoder = Stack(options, n_decoder_layers, cross=True)
        self.position_base = position_base
        table = sinusoids(max_length, options.width, base=position_base)
        self.positions = nn.Buffer(table, persistent=False)
        initialise(self)

    def forward(self, source_ids: Tensor, target_in: Tensor) -> Tensor:
        """Return the logits of the next token at each target position, (B, T, V).

        Args:
            source_ids: (B, S) int64, padded on the right.
            target_in: (B, T) int64, padded on the right; each row starts with the start symbol.
        """
        return self.logits(self.decode(self.encode(source_ids), target_in))

    def encode(self, source_ids: Tensor, *, maps: AttentionMaps | None = None) -> EncoderOutput:
        """Encode padded source ids, (B, S) int64."""
        mask = padding_mask(source_ids)
        return EncoderOutput(self.encoder(self.embed(source_ids), mask, maps=maps), mask)

    def decode(
        self, memory: EncoderOutput, target_in: Tensor, *, maps: AttentionMaps | None = None
    ) -> Tensor:
        """Compute the decoder's output at all target positions at once: (B, T) int64 → (B, T, D)."""
        # Targets need no padding mask: the causal mask hides padding on the right from the tokens before it.
        mask = causal_mask(target_in.size(1), device=target_in.device)
        cross = self.decoder.project(memory.states)
        x = self.embed(target_in)
        return self.decoder(x, mask, cross=cross, cross_mask=memory.mask, maps=maps)  # type: ignore[no-any-return]

    def embed(self, ids: Tensor) -> Tensor:
        """Return √D · embedding + position encoding: (B, L) int64 → (B, L, D)."""
        scaled = self.embedding(ids) * self.embedding.embedding_dim**0.5
        return self.dropout(scaled + self.position_table(ids.size(1))[: ids.size(1)])  # type: ignore[no-any-return]

    def logits(self, states: Tensor) -> Tensor:
        """Project states to logits with the embedding matrix: (…, D) → (…, V)."""
        return F.linear(states, self.embedding.weight)

    def attention_maps(self, source_ids: Tensor, target_in: Tensor) -> tuple[AttentionMaps, AttentionMaps]:
        """Return the attention weights of all layers and heads, first the encoder's, then the decoder's."""
        encoder, decoder = AttentionMaps(), AttentionMaps()
        self.decode(self.encode(source_ids, maps=encoder), target_in, maps=decoder)
        return encoder, decoder

    def position_table(self, length: int) -> Tensor:
        """Return at least `length` position encodings, (L, D). Use the precomputed ones if they suffice."""
        if length <= len(self.positions):
            return self.positions
        return sinusoids(length, self.positions.size(1), base=self.position_base).to(self.positions)
