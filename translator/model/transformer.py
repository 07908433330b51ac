"""The translator's Transformer: an encoder stack, a decoder stack and one embedding for both."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.initialisation import initialise
from translator.model.layers import AttentionMaps, LayerOptions, Stack
from translator.model.masks import causal_mask, padding_mask
from translator.model.positions import sinusoids


class EncoderOutput(NamedTuple):
    """A batch of encoded sources."""

    states: Tensor  # (B, S, D) float
    mask: Tensor  # (B, 1, 1, S) bool, True at real source tokens


class Transformer(nn.Module):
    """An encoder-decoder Transformer (Vaswani et al. 2017), embeddings tied three ways.

    One matrix (V, D) embeds source and target, scaled by √D, and gives the logits (Press & Wolf 2017).
    """

    def __init__(
        self,
        vocabulary_size: int,
        options: LayerOptions,
        *,
        n_encoder_layers: int,
        n_decoder_layers: int,
        max_length: int = 256,
    ):
        """Create a model with fresh weights; `max_length` positions are tabulated, longer input works too."""
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, options.width)
        self.dropout = nn.Dropout(options.dropout)
        self.encoder = Stack(options, n_encoder_layers)
        self.decoder = Stack(options, n_decoder_layers, cross=True)
        self.register_buffer("positions", sinusoids(max_length, options.width), persistent=False)
        self.positions: Tensor
        initialise(self)

    def forward(self, source_ids: Tensor, target_in: Tensor) -> Tensor:
        """Return the logits of the next token at each target position, (B, T, V).

        Args:
            source_ids: (B, S) int64, padded.
            target_in: (B, T) int64, beginning with the start symbol, padded.
        """
        return self.logits(self.decode(self.encode(source_ids), target_in))

    def encode(self, source_ids: Tensor, *, maps: AttentionMaps | None = None) -> EncoderOutput:
        """Read the source: (B, S) int64, padded, → states and padding mask."""
        mask = padding_mask(source_ids)
        return EncoderOutput(self.encoder(self.embed(source_ids), mask, maps=maps), mask)

    def decode(
        self, memory: EncoderOutput, target_in: Tensor, *, maps: AttentionMaps | None = None
    ) -> Tensor:
        """Read a whole target at once, as in training: (B, T) int64 → states (B, T, D)."""
        mask = causal_mask(target_in.size(1), device=target_in.device)
        cross = self.decoder.project(memory.states)
        x = self.embed(target_in)
        return self.decoder(x, mask, cross=cross, cross_mask=memory.mask, maps=maps)  # type: ignore[no-any-return]

    def embed(self, ids: Tensor) -> Tensor:
        """(B, L) int64 → (B, L, D): √D · embedding + position."""
        scaled = self.embedding(ids) * self.embedding.embedding_dim**0.5
        embedded: Tensor = self.dropout(scaled + self.position_table(ids.size(1))[: ids.size(1)])
        return embedded

    def logits(self, states: Tensor) -> Tensor:
        """(…, D) → (…, V), by the embedding matrix."""
        return F.linear(states, self.embedding.weight)

    def attention_maps(self, source_ids: Tensor, target_in: Tensor) -> tuple[AttentionMaps, AttentionMaps]:
        """Return the attention weights of every layer and head: the encoder's and the decoder's."""
        encoder, decoder = AttentionMaps(), AttentionMaps()
        self.decode(self.encode(source_ids, maps=encoder), target_in, maps=decoder)
        return encoder, decoder

    def position_table(self, length: int) -> Tensor:
        """Return at least as many positions as asked for: (L, D)."""
        if length <= len(self.positions):
            return self.positions
        width, device = self.positions.size(1), self.positions.device
        return sinusoids(length, width, device=device).to(self.positions.dtype)
