"""The pieces of a text in readable form."""

import re
from collections.abc import Sequence

from translator.data.tokenizer import WORD_MARK, Tokenizer
from translator.symbols import BOS, EOS, PAD

#: Maps the ids of special symbols to the names under which they are shown.
NAMES = {BOS: "⟨start⟩", EOS: "⟨end⟩", PAD: "⟨padding⟩"}


def readable(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Return the pieces of a sequence of ids in readable form.

    A space is shown as `␣`: a piece that starts a word looks like `␣maison`, and one that continues a word
    like `nette`. A piece for one byte is named after the character that the byte is part of, such as
    `⟨E2 of €⟩`, or like `⟨E2⟩` if its neighbours do not complete the character.
    """
    text, names = tokenizer.decode(ids), []
    for i, piece, (start, end) in zip(ids, tokenizer.pieces(ids), tokenizer.spans(ids), strict=True):
        name = NAMES.get(i, piece.replace(WORD_MARK, "␣"))
        if byte := re.fullmatch("<0x(..)>", piece):
            character = text[start:end]
            name = f"⟨{byte[1]}⟩" if character == "\ufffd" else f"⟨{byte[1]} of {character}⟩"
        names.append(name)
    return names
