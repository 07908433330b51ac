"""The decoder's state between steps: its key/value cache."""

from dataclasses import dataclass

import torch
from torch import Tensor

from translator.model.attention import KeyValue


@dataclass
class DecoderState:
    """The decoder state of a search, which has B sentences with W hypotheses each.

    Attributes:
        past: for each layer, the keys and values of the decoded tokens, (B · W, H, T, E) each.
        cross: for each layer, the keys and values of the source, (B, H, S, E) each.
        mask: (B, 1, 1, S) bool, False at padding of the source.
        length: T, the number of tokens of each hypothesis.
    """

    past: list[KeyValue]
    cross: list[KeyValue]
    mask: Tensor
    length: int = 0

    def append(self, layer: int, new: KeyValue) -> KeyValue:
        """Append the keys and values of one token, (B · W, H, 1, E), and return those of all tokens."""
        past = self.past[layer]
        self.past[layer] = KeyValue(*(torch.cat(pair, dim=2) for pair in zip(past, new, strict=True)))
        return self.past[layer]

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Select the sentences to continue and, in each of them, the hypotheses to continue.

        Args:
            sentences: (B',), indices of the sentences to continue.
            parents: (B', W'). For each new hypothesis, the index of its parent, the old hypothesis that it
                extends.
        """
        n_hypotheses = len(self.past[0].key) // len(self.mask)
        rows = (sentences[:, None] * n_hypotheses + parents).flatten()
        self.past = [KeyValue(key[rows], value[rows]) for key, value in self.past]
        if len(sentences) < len(self.mask):
            self.cross = [KeyValue(key[sentences], value[sentences]) for key, value in self.cross]
            self.mask = self.mask[sentences]
