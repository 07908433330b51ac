"""Ids of the four special tokens, the same in every vocabulary.

Encoding a text never produces them: SentencePiece marks them as control pieces, and thanks to byte fallback
`UNK` is never needed.
"""

PAD, UNK, BOS, EOS = 0, 1, 2, 3

#: Special tokens that never occur in an output. `EOS` ends it.
NEVER_EMITTED = (PAD, UNK, BOS)
