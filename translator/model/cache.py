"""What decoding remembers between steps: outside the model, so one model serves many searches."""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Softmax on a CPU works on as many numbers at once and on what is over one by one: attention of (64, 4, 5,
#: 32) over 15 keys takes 515 µs, over 16 it takes 224, over 17 it takes 261, over 24 it takes 337, over 32 it
#: takes 313. So a beam reads whole sixteens of keys, those that it has no use for hidden.
ALIGNED = 16


@dataclass(frozen=True)
class Memory:
    """A batch of encoded sources.

    Attributes:
        states: (B, S, D) float, the encoder's output.
        keep: (B, 1, 1, S) bool, True at real source tokens.
    """

    states: Tensor
    keep: Tensor


@dataclass
class DecoderState:
    """Everything a decoder needs to go on: B sentences with W hypotheses each. A search has its own.

    The tokens that a sentence's hypotheses have read, K in all, lie side by side and stay where they are. A
    hypothesis looks at those that it descends from. So when a search goes on from other parents, a small
    mask is reordered and not the keys and values.

    Attributes:
        past: for each layer, self-attention's keys and values side by side, (B, C, 2 D): of all tokens so far
            the first K, and room for more.
        cross: for each layer, cross-attention's keys and values of the source, (B, S, 2 D).
        cross_bias: (B, 1, 1, S) float, -inf at padding; None where no source is padded.
        descent: (B, W, K) float, 0 where a hypothesis descends from a token, -inf elsewhere.
        length: T, tokens that each hypothesis has read.
    """

    past: list[Tensor]
    cross: list[Tensor]
    cross_bias: Tensor | None
    descent: Tensor
    length: int

    def make_room(self, n_keys: int) -> None:
        """See to it that there is room for so many keys; what is not used of it is finite."""
        if self.past[0].size(1) < n_keys:
            n_more = n_keys + 2 * ALIGNED - self.past[0].size(1)  # so that few steps copy what there is
            self.past = [torch.cat([kv, kv.new_zeros(len(kv), n_more, kv.size(2))], 1) for kv in self.past]

    def select(self, sentences: Tensor, parents: Tensor) -> None:
        """Go on with some sentences and, in each, with some hypotheses.

        Args:
            sentences: (B',) their numbers. Those that keep their place are not copied.
            parents: (B', W') numbers of the hypotheses to continue.
        """
        n = len(sentences)
        if n < len(self.descent):
            places = (sentences != torch.arange(n, device=sentences.device)).nonzero().flatten()
            moved = sentences[places]
            for kv in (*self.past, *self.cross):
                kv.index_copy_(0, places, kv.index_select(0, moved))
            self.past, self.cross = [kv[:n] for kv in self.past], [kv[:n] for kv in self.cross]
            if self.cross_bias is not None:
                self.cross_bias = self.cross_bias.index_select(0, sentences)
            self.descent = self.descent.index_select(0, sentences)
        self.descent = self.descent.gather(1, parents[..., None].expand(-1, -1, self.descent.size(2)))
