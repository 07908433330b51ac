"""Which word translates which: what a word is, and links between the words of two sentences.

Links are written in Pharaoh format: `0-0 1-2` says that word 0 of the French side goes with word 0 of the
English side, and word 1 with word 2.
"""

import re

#: French words that lose their vowel before another one: `l'eau`, `qu'il`.
_ELIDED = r"(?:jusqu|lorsqu|puisqu|quoiqu|qu|[cdjlmnst])['’]"
#: French pronouns and particles that hang on a word: `a-t-il`, `donne-le-moi`, `ce livre-là`.
_PARTICLE = (
    r"-(?:t-(?:il|elle|on)|je|tu|ils?|elles?|on|nous|(?<!rendez-)vous|ce|les?|la|lui|leur|moi|toi|y|en|ci|là)"
)
#: … and nothing else follows (not `arc-en-ciel`).
_HUNG = rf"{_PARTICLE}(?=(?:{_PARTICLE})*(?![\w-]))"
#: English words that hang on the one before: `don't`, `Paul's`, `I'm`.
_CONTRACTED = r"n['’]t|['’](?:s|re|ve|ll|d|m)"

_SPLITS = [
    (re.compile(rf"(?<![\w'’-])(?!n['’]t\b)({_ELIDED})(?=\w)", re.IGNORECASE), r"\1 "),
    (re.compile(rf"(?<=\w)(?<!-t)({_HUNG})", re.IGNORECASE), r" \1"),
    (re.compile(r"(?<=\w)(-[mt]['’])(?=\w)", re.IGNORECASE), r" \1 "),
    (re.compile(rf"(?<=\w)({_CONTRACTED})(?!\w)", re.IGNORECASE), r" \1"),
]
_WORD = re.compile(
    rf"-[mt]['’](?=\s)|{_PARTICLE}(?=\s|[^\w-]|$)|(?<!\w)(?:{_ELIDED})(?=\s)|(?:{_CONTRACTED})(?!\w)"
    r"|\w+(?:['’-]\w+|(?<=\d)[.,:]\d+)*|[^\w\s]",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Split a French or English sentence into the words that alignments count.

    Splits are at spaces, after an elision (`l'`, `qu'`), before a pronoun or particle that hangs on its
    word by a hyphen (`-t-il`, `-là`) or an apostrophe (`n't`, `'s`), and around punctuation. Letters are
    left as they are, so the words joined are the text without its spaces.
    """
    for pattern, replacement in _SPLITS:
        text = pattern.sub(replacement, text)
    return _WORD.findall(text)
