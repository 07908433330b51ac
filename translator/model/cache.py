"""What decoding remembers between steps: outside the model, so one model serves many searches."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from translator.model.attention import KeyValue

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
        past: for each layer, self-attention's keys and values of all tokens so far, the first K of (B, 2 H,
            C, E); the others are room for more.
        cross: for each layer, cross-attention's keys and values of the source, (B, H, S, E) each.
        cross_bias: (B, 1, 1, S) float, -inf at padding; None where no source is padded.
        descent: (B, W, C) float, 0 where a hypothesis descends from a token, -inf elsewhere.
        n_keys: K.
        length: T, tokens that each hypothesis has read.
    """

    past: list[Tensor]
    cross: list[KeyValue]
    cross_bias: Tensor | None
    descent: Tensor
    n_keys: int
    length: int

    def add(self, n_hypotheses: int) -> tuple[int, Tensor | None]:
        """Make room for one more token of each hypothesis.

        Returns:
            The column of `past` where their keys and values begin, and what attention adds to its scores,
            (B, 1, W, K'), for the keys up to a whole sixteen; None for a lone hypothesis, which descends from
            all.
        """
        start, n_keys = self.n_keys, self.n_keys + n_hypotheses
        n_read = n_keys - n_keys % -ALIGNED  # a whole sixteen
        n_more = n_read - self.descent.size(2)
        if n_more > 0:  # and so much room that few steps copy what there is
            n_more += 2 * ALIGNED
            self.past = [_longer(kv, n_more) for kv in self.past]
            self.descent = F.pad(self.descent, (0, n_more), value=-torch.inf)
        self.descent.narrow(2, start, n_hypotheses).diagonal(dim1=1, dim2=2).zero_()  # each sees itself
        self.n_keys, self.length = n_keys, self.length + 1
        return start, self.descent[:, None, :, :n_read] if n_hypotheses > 1 else None

    def select(self, sentences: Tensor, parents: Tensor) -> None:
        """Go on with some sentences and, in each, with some hypotheses.

        Args:
            sentences: (B',) their numbers, all in order or fewer. Those that keep their place are not copied.
            parents: (B', W') numbers of the hypotheses to continue.
        """
        n = len(sentences)
        if n < len(self.descent):
            places = (sentences != torch.arange(n, device=sentences.device)).nonzero().flatten()
            moved = sentences[places]

            def shorter(kv: Tensor) -> Tensor:
                return kv.index_copy_(0, places, kv.index_select(0, moved))[:n]

            self.past = [shorter(kv) for kv in self.past]
            self.cross = [KeyValue(shorter(key), shorter(value)) for key, value in self.cross]
            if self.cross_bias is not None:
                self.cross_bias = self.cross_bias.index_select(0, sentences)
            self.descent = self.descent.index_select(0, sentences)
        self.descent = self.descent.gather(1, parents[..., None].expand(-1, -1, self.descent.size(2)))


def _longer(kv: Tensor, n_more: int) -> Tensor:
    """(B, 2 H, C, E) → the same and columns of zeros; a token's lie together, as the maps give them."""
    tokens = kv.transpose(1, 2)
    return torch.cat([tokens, tokens.new_zeros(len(kv), n_more, *tokens.shape[2:])], 1).transpose(1, 2)
