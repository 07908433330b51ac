"""The Transformer as a textbook has it: padded tensors, one path, torch and nothing else.

Letters in shape comments, everywhere in the project:

    B batch      S source length    T target length    Q query length    K key length
    D width      H heads            E head width D/H   F feed-forward    V vocabulary
    W beam       M width of a memory (D, unless another model made it)

Batch first. Read in this order: `masks`, `positions`, `attention` (the one head), `layers` (a layer and a
stack of them), `transformer` (an encoder stack, a decoder stack and one embedding), `initialisation`.
`translator.engine` computes the same from the same weights, only faster.
"""

from translator.model.transformer import Transformer

__all__ = ["Transformer"]
