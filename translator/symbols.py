"""Ids of the four special tokens, the same in every vocabulary.

Encoding a text never produces them. SentencePiece treats `PAD`, `BOS` and `EOS` as control pieces, which no
text matches. Byte fallback encodes every unknown character as bytes, so `UNK` is not needed.
"""

PAD, UNK, BOS, EOS = 0, 1, 2, 3

#: Special tokens that a model never outputs. The remaining one, `EOS`, ends each output.
NEVER_EMITTED = (PAD, UNK, BOS)
