"""The translator's Transformer: an encoder stack, a decoder stack and one embedding for everything."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translator.model.attention import Attention
from translator.model.cache import Memory
from translator.model.dropout import Dropout
from translator.model.layers import LayerOptions, Record, Stack
from translator.model.masks import causal_keep, padding_keep
from translator.model.positions import sinusoids
from translator.model.unpadding import Unpadding
from translator.symbols import PAD


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
        """Make a model with fresh weights, drawn from torch's global generator.

        Args:
            vocabulary_size: V.
            options: the layers' shape.
            n_encoder_layers: depth of the encoder.
            n_decoder_layers: depth of the decoder.
            max_length: positions tabled beforehand; longer input works, its positions computed anew.
        """
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, options.width)
        self.dropout = Dropout(options.dropout)
        self.encoder = Stack(options, n_encoder_layers)
        self.decoder = Stack(options, n_decoder_layers, cross=True)
        self.register_buffer("positions", sinusoids(max_length, options.width), persistent=False)
        self.positions: Tensor
        initialise(self)

    def forward(self, source_ids: Tensor, target_in: Tensor) -> Tensor:
        """Return the logits of the next token at each target position.

        Args:
            source_ids: (B, S) int64, padded.
            target_in: (B, T) int64, beginning with the start symbol, padded.

        Returns:
            (B, T, V) float.
        """
        return self.logits(self.decode(self.encode(source_ids), target_in))

    def encode(self, source_ids: Tensor, *, record: Record | None = None) -> Memory:
        """Read the source: (B, S) int64 → states (B, S, D) and what of them is real."""
        keep = padding_keep(source_ids)
        return Memory(self.encoder(self.embed(source_ids), keep, record=record), keep)

    def decode(self, memory: Memory, target_in: Tensor, *, record: Record | None = None) -> Tensor:
        """Read the whole target at once, as in training: (B, T) int64 → states (B, T, D)."""
        keep = causal_keep(target_in.size(1), device=target_in.device)
        cross = self.decoder.project(memory.states)
        states: Tensor = self.decoder(
            self.embed(target_in), keep, cross=cross, cross_keep=memory.keep, record=record
        )
        return states

    def training_states(self, source_ids: Tensor, target_in: Tensor) -> Tensor:
        """Read both sides without computing anything on padding; otherwise as `decode(encode(…), …)`.

        Args:
            source_ids: (B, S) int64, padded.
            target_in: (B, T) int64, padded.

        Returns:
            (R, D) float: the states of the n real target tokens, in order, and rows that mean nothing.
        """
        source, target = Unpadding.of(source_ids != PAD), Unpadding.of(target_in != PAD)
        source_keep = padding_keep(source_ids)
        # Both sides at once: to go back through a lookup takes a pass over the whole matrix.
        ids = torch.cat([source.ids(source_ids, PAD), target.ids(target_in, PAD)])
        places = torch.cat([source.places % source_ids.size(1), target.places % target_in.size(1)])
        table = self.position_table(max(source_ids.size(1), target_in.size(1)))
        embedded = self._embed(ids, table[places])
        x, y = torch.split(embedded, [len(source.places), len(target.places)])
        x = self.encoder(x, source_keep, unpadding=source)
        cross = self.decoder.project(x, source)
        keep = causal_keep(target_in.size(1), device=target_in.device)
        states: Tensor = self.decoder(y, keep, cross=cross, cross_keep=source_keep, unpadding=target)
        return states

    def logits(self, states: Tensor) -> Tensor:
        """(…, D) → (…, V), by the embedding matrix."""
        return F.linear(states, self.output_weight)

    @property
    def output_weight(self) -> Tensor:
        """What turns states into logits: (V, D), the embedding matrix."""
        return self.embedding.weight

    def attention_maps(self, source_ids: Tensor, target_in: Tensor) -> tuple[Record, Record]:
        """Return the attention weights of every layer and head: the encoder's and the decoder's."""
        encoder, decoder = Record(), Record()
        self.decode(self.encode(source_ids, record=encoder), target_in, record=decoder)
        return encoder, decoder

    def embed(self, ids: Tensor) -> Tensor:
        """(B, L) int64 → (B, L, D): √D · embedding + position."""
        length = ids.size(1)
        return self._embed(ids, self.position_table(length)[:length])

    def _embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        scaled = self.embedding(ids) * positions.size(-1) ** 0.5
        embedded: Tensor = self.dropout(scaled + positions)
        return embedded

    def position_table(self, length: int) -> Tensor:
        """Return the positions, at least as many as asked for: (L, D)."""
        if length <= len(self.positions):
            return self.positions
        width, device = self.positions.size(1), self.positions.device
        return sinusoids(length, width, device=device).to(self.positions.dtype)


def initialise(module: nn.Module) -> None:
    """Set every initial value of a model; the only place that does.

    Linear maps: Xavier uniform (Glorot & Bengio 2010), the key and value halves of a joint map each by
    itself; biases zero. Embeddings: normal with deviation 1/√D, so that √D · embedding has unit variance
    and the first logits are of order one. Norms: the identity.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=part.embedding_dim**-0.5)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Attention):
            for half in part.key_value.weight.data.chunk(2):
                nn.init.xavier_uniform_(half)


def n_parameters(model: nn.Module) -> int:
    """Return the number of trained values, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def device_of(model: nn.Module) -> torch.device:
    """Return the device that a model's weights are on."""
    return next(model.parameters()).device
