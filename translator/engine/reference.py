"""The reference engine: training and decoding by `translator.model` alone.

The tests check the other engines against it. It uses padded batches and PyTorch's cross-entropy. Because it
has no cache, every decoding step recomputes all tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from translator.data.batching import Batch
from translator.model.transformer import EncoderOutput, Transformer
from translator.symbols import PAD


class ReferenceTraining:
    """A slow equivalent of `TrainingEngine`, on padded batches."""

    def __init__(self, model: Transformer):
        """Wrap a model."""
        self.model = model

    def loss(self, batch: Batch, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """Return the label-smoothed loss and the negative log-likelihood, each summed over target tokens."""
        logits = self.model(batch.source_ids, batch.target_in).flatten(0, 1)  # (B · T, V)
        targets = batch.target_out.flatten()
        smoothed = F.cross_entropy(
            logits, targets, ignore_index=PAD, label_smoothing=label_smoothing, reduction="sum"
        )
        nll = F.cross_entropy(logits.detach(), targets, ignore_index=PAD, reduction="sum")
        return smoothed, nll


@dataclass
class ReferenceState:
    """The state of a search: the encoded sources, and the tokens of the hypotheses, (B, W, T)."""

    memory: EncoderOutput
    tokens: Tensor

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Select the sentences and the hypotheses to continue; see `DecoderState.reorder`."""
        self.memory = EncoderOutput(*(part[sentences] for part in self.memory))
        self.tokens = self.tokens[sentences[:, None], parents]


class ReferenceDecoding:
    """A slow equivalent of `DecodingEngine`, without a cache."""

    def __init__(self, model: Transformer):
        """Wrap a model."""
        self.model = model

    def encode(self, source_ids: Tensor) -> EncoderOutput:
        """Encode padded source ids, (B, S) int64, to states (B, S, D) and a padding mask."""
        return self.model.encode(source_ids)

    def start(self, memory: EncoderOutput) -> ReferenceState:
        """Return the decoder state before the first target token, with one hypothesis per sentence."""
        return ReferenceState(
            memory, torch.empty(len(memory.states), 1, 0, dtype=torch.long, device=memory.states.device)
        )

    def step(self, tokens: Tensor, state: ReferenceState) -> Tensor:
        """Append tokens (B, W) int64 to the hypotheses and return the logits of the next token, (B, W, V)."""
        state.tokens = torch.cat([state.tokens, tokens[..., None]], 2)
        n_hypotheses = tokens.size(1)
        memory = EncoderOutput(*(part.repeat_interleave(n_hypotheses, 0) for part in state.memory))
        states = self.model.decode(memory, state.tokens.flatten(0, 1))
        return self.model.logits(states[:, -1]).view(*tokens.shape, -1)
