"""The state of decoding between steps: kept outside the model, so one model serves many searches."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from translator.model.attention import KeyValue

#: CPU softmax takes 16 floats at a time and the remainder singly: reading whole sixteens of keys, the unused
#: ones masked, is faster (docs/performance.md).
ALIGNMENT = 16


@dataclass
class DecoderState:
    """What a decoder needs to continue: B sentences with W hypotheses each. Every search has its own.

    The tokens that a sentence's hypotheses have read, K in all, lie side by side and stay where they are. A
    hypothesis attends to those it descends from. So when a search continues other hypotheses, a small mask
    is reordered and not the keys and values.

    Attributes:
        self_kv: for each layer, the keys and values of all tokens so far: the first K of (B, 2 H, C, E);
            the rest is spare room.
        cross_kv: for each layer, the keys and values of the source, (B, H, S, E) each.
        cross_bias: (B, 1, 1, S) float, -inf at padding; None if no source is padded.
        ancestor_bias: (B, W, C) float, 0 where a hypothesis descends from a token, -inf elsewhere.
        n_keys: K.
        length: T, the number of tokens that each hypothesis has read.
    """

    self_kv: list[Tensor]
    cross_kv: list[KeyValue]
    cross_bias: Tensor | None
    ancestor_bias: Tensor
    n_keys: int
    length: int

    def append(self, n_hypotheses: int) -> tuple[int, Tensor | None]:
        """Make room for one more token of each hypothesis.

        Returns:
            The column of `self_kv` where their keys and values begin, and the bias of attention,
            (B, 1, W, K'), for K rounded up to `ALIGNMENT`; None for a single hypothesis, which descends from
            all tokens.
        """
        start, n_keys = self.n_keys, self.n_keys + n_hypotheses
        n_read = n_keys - n_keys % -ALIGNMENT  # rounded up
        n_more = n_read - self.ancestor_bias.size(2)
        if n_more > 0:  # with spare room, so that few steps copy the cache
            n_more += 2 * ALIGNMENT
            self.self_kv = [_grow(kv, n_more) for kv in self.self_kv]
            self.ancestor_bias = F.pad(self.ancestor_bias, (0, n_more), value=-torch.inf)
        own = self.ancestor_bias.narrow(2, start, n_hypotheses)
        own.diagonal(dim1=1, dim2=2).zero_()  # each attends to its own token
        self.n_keys, self.length = n_keys, self.length + 1
        return start, self.ancestor_bias[:, None, :, :n_read] if n_hypotheses > 1 else None

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Continue some sentences and, in each, some hypotheses.

        Args:
            sentences: (B',) their numbers, all in order or fewer. Those that keep their place are not copied.
            parents: (B', W') numbers of the hypotheses to continue.
        """
        n = len(sentences)
        if n < len(self.ancestor_bias):
            places = (sentences != torch.arange(n, device=sentences.device)).nonzero().flatten()
            moved = sentences[places]

            def shrink(kv: Tensor) -> Tensor:
                return kv.index_copy_(0, places, kv.index_select(0, moved))[:n]

            self.self_kv = [shrink(kv) for kv in self.self_kv]
            self.cross_kv = [KeyValue(shrink(key), shrink(value)) for key, value in self.cross_kv]
            if self.cross_bias is not None:
                self.cross_bias = self.cross_bias.index_select(0, sentences)
            self.ancestor_bias = self.ancestor_bias.index_select(0, sentences)
        columns = parents[..., None].expand(-1, -1, self.ancestor_bias.size(2))
        self.ancestor_bias = self.ancestor_bias.gather(1, columns)


def _grow(kv: Tensor, n_more: int) -> Tensor:
    """(B, 2 H, C, E) → the same with more columns, zero; a token's values stay contiguous."""
    tokens = kv.transpose(1, 2)
    return torch.cat([tokens, tokens.new_zeros(len(kv), n_more, *tokens.shape[2:])], 1).transpose(1, 2)
