"""The reference as an engine: training and decoding by `translator.model` alone, to check the others against.

Padded batches, PyTorch's cross-entropy, no cache: every step of a search reads all tokens again.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from translator.data.batching import Batch
from translator.model.transformer import EncoderOutput, Transformer
from translator.symbols import PAD


class ReferenceTraining:
    """Does what `TrainingEngine` does, on padded batches."""

    def __init__(self, model: Transformer):
        """Take a model."""
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
    """The encoded sources and all tokens so far, (B, W, T), of a search."""

    memory: EncoderOutput
    tokens: Tensor

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Continue some sentences and, in each, some hypotheses; see `DecoderState.reorder`."""
        self.memory = EncoderOutput(*(part[sentences] for part in self.memory))
        self.tokens = self.tokens[sentences[:, None], parents]


class ReferenceDecoding:
    """Does what `DecodingEngine` does, without a cache."""

    def __init__(self, model: Transformer):
        """Take a model."""
        self.model = model

    def encode(self, source_ids: Tensor) -> EncoderOutput:
        """Read the source: (B, S) int64, padded, → states (B, S, D) and padding mask."""
        return self.model.encode(source_ids)

    def start(self, memory: EncoderOutput) -> ReferenceState:
        """Return the state before the first target token, one hypothesis per sentence."""
        return ReferenceState(
            memory, torch.empty(len(memory.states), 1, 0, dtype=torch.long, device=memory.states.device)
        )

    def step(self, tokens: Tensor, state: ReferenceState) -> Tensor:
        """Read one more token of each hypothesis: (B, W) int64 → (B, W, V) logits of the next."""
        state.tokens = torch.cat([state.tokens, tokens[..., None]], 2)
        n_hypotheses = tokens.size(1)
        memory = EncoderOutput(*(part.repeat_interleave(n_hypotheses, 0) for part in state.memory))
        states = self.model.decode(memory, state.tokens.flatten(0, 1))
        return self.model.logits(states[:, -1]).view(*tokens.shape, -1)
