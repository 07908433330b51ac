"""The Transformer as textbooks present it: padded tensors, one code path, no dependency but torch.

Letters in shape comments throughout the project:

    B batch      S source length    T target length    Q query length    K key length
    D width      H heads            E head width D/H   F feed-forward    V vocabulary
    W beam       M memory width (D, unless another model produced the memory)

Batch first. Read in this order: `masks`, `positions`, `attention`, `layers` (a layer and a stack of layers),
`transformer` (an encoder stack, a decoder stack and one shared embedding), `initialisation`.
`translator.engine` computes the same functions from the same weights, but faster.
"""

from translator.model.transformer import Transformer

__all__ = ["Transformer"]
