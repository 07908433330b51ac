"""The four special pieces, in every vocabulary at the same place.

They are never produced from text: SentencePiece marks them as control pieces, and byte fallback means
that `UNK` is never needed.
"""

PAD, UNK, BOS, EOS = 0, 1, 2, 3

#: The special pieces that a search may never put into an output (`EOS` ends it instead).
NEVER_EMITTED = (PAD, UNK, BOS)
