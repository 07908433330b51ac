"""The decoder's state between steps, including its key/value cache."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from translator.model.attention import KeyValue

#: In self-attention, masked keys are added until the number of keys is a multiple of `ALIGNMENT`. In
#: cross-attention, this is done only if at most `ALIGNMENT` / 2 keys have to be added. The additional keys
#: save time: the CPU's softmax processes 16 floats at a time, but any floats that are left over one by one
#: (docs/performance.md).
ALIGNMENT = 16


@dataclass
class DecoderState:
    """The decoder state of one search, which has B sentences with W hypotheses each.

    Each sentence has one cache of K tokens, which all its hypotheses share. A token never moves within this
    cache. Each hypothesis consists of some of these tokens, which are called its ancestors. `ancestor_bias`
    restricts the attention of each hypothesis to its ancestors. When beam search reorders the hypotheses of a
    sentence, only this small tensor is reordered, and the keys and values stay in place.

    Attributes:
        self_kv: for each layer, a tensor (B, 2 H, C, E) of the keys and values of the decoded tokens. The
            keys of all heads come first, then the values of all heads. Each of the C columns has room for one
            token. The first K columns are in use, and the others are spare capacity.
        cross_kv: for each layer, the keys and the values of the source, (B, H, S, E) each.
        cross_bias: (B, 1, 1, S) float, 0 at real tokens, -inf at padding. It is None if there is no padding.
        ancestor_bias: (B, W, C) float, 0 where a token is an ancestor of a hypothesis, -inf elsewhere.
        n_keys: K, the number of tokens in the cache of each sentence.
        length: T, the number of tokens of each hypothesis.
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
            The column of `self_kv` at which to write the new keys and values, and the attention bias
            (B, 1, W, K'), where K' is the new K, rounded up to a multiple of `ALIGNMENT`. If each sentence
            has a single hypothesis, the bias is None, because all tokens in the cache are then its ancestors.
        """
        start, n_keys = self.n_keys, self.n_keys + n_hypotheses
        n_read = n_keys - n_keys % -ALIGNMENT  # rounded up
        n_more = n_read - self.ancestor_bias.size(2)
        if n_more > 0:  # also add spare capacity, so that few steps have to copy the cache
            n_more += 2 * ALIGNMENT
            self.self_kv = [_grow(kv, n_more) for kv in self.self_kv]
            self.ancestor_bias = F.pad(self.ancestor_bias, (0, n_more), value=-torch.inf)
        new = self.ancestor_bias.narrow(2, start, n_hypotheses)
        new.diagonal(dim1=1, dim2=2).zero_()  # each hypothesis attends to its own new token
        self.n_keys, self.length = n_keys, self.length + 1
        return start, self.ancestor_bias[:, None, :, :n_read] if n_hypotheses > 1 else None

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Select the sentences to continue and, in each of them, the hypotheses to continue.

        Args:
            sentences: (B',), indices of the sentences to continue. If all B sentences continue, the indices
                must be in ascending order. Otherwise, any order is allowed. The keys and values of a sentence
                whose index does not change are not copied.
            parents: (B', W'). For each new hypothesis, the index of its parent, the old hypothesis that it
                extends.
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
    """Add `n_more` columns of zeros to a cache (B, 2 H, C, E). In memory, a token's heads stay adjacent."""
    tokens = kv.transpose(1, 2)
    return torch.cat([tokens, tokens.new_zeros(len(kv), n_more, *tokens.shape[2:])], 1).transpose(1, 2)
