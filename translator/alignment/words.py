"""What a word is, for alignments."""

import re
from collections.abc import Sequence

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
#: What is written without a space before it, and what without one after it.
_HANGS = re.compile(rf"{_PARTICLE}|-[mt]['’]|n['’]t|['’]\w+", re.IGNORECASE)
_LEANS = re.compile(r"[\w-]+['’]", re.IGNORECASE)


def words(text: str) -> list[str]:
    """Split a French or English sentence into the words that alignments count.

    Splits are at spaces, after an elision (`l'`, `qu'`), before a pronoun or particle that hangs on its
    word by a hyphen (`-t-il`, `-là`) or an apostrophe (`n't`, `'s`), and around punctuation. Letters are
    left as they are, so the words joined are the text without its spaces.
    """
    for pattern, replacement in _SPLITS:
        text = pattern.sub(replacement, text)
    return _WORD.findall(text)


def words_of(text: str, *, tokenized: bool) -> list[str]:
    """Return the words of a text: `words`, or what stands between its spaces, as in published files."""
    return [word for word in text.split(" ") if word] if tokenized else words(text)


def spell(words: Sequence[str], *, language: str) -> str:
    """Write words as running text, so that a model sees what it has learnt from.

    A space is left out where a word hangs on its neighbour (`l'`, `-t-il`, `n't`) and where punctuation
    takes none; French puts one before `?`, `!`, `:` and `;`. Quotation marks stay as they are.

    Args:
        words: one by one; empty ones leave nothing.
        language: `fr`, or any other.
    """
    words = [word for word in words if word]
    closing = ",.…)]}" if language == "fr" else ",.…)]}?!:;"
    text = ""
    for before, word in zip(["", *words], words, strict=False):
        hangs = _HANGS.fullmatch(word) or word in closing
        leans = _LEANS.fullmatch(before) or before in "([{"  # as nothing before the first word does
        text += word if hangs or leans else f" {word}"
    return text
