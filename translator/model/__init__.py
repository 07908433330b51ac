"""The Transformer as textbooks present it: padded tensors, one code path, no dependency but torch.

Letters in shape comments throughout the project:

    B batch      S source length    T target length    Q query length    K key length
    D width      H heads            E head width D/H   F feed-forward    V vocabulary
    W beam size  L any length       M width of a memory (see `attention`): D, unless another model computed it

The batch is always the first dimension. Read the modules in this order: `masks`, `positions`, `attention`,
`layers` (a layer and a stack of layers), `transformer` (two stacks and one shared embedding),
`initialisation`. `translator.engine` computes the same functions from the same weights, but faster.
"""

from translator.model.transformer import Transformer

__all__ = ["Transformer"]
