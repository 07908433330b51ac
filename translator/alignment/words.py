"""Segmentation of French and English text into words, for word alignment."""

import re
from collections.abc import Sequence

#: Elided French words: the `l'` of `l'eau`, the `qu'` of `qu'il`.
_ELIDED = r"(?:jusqu|lorsqu|puisqu|quoiqu|qu|[cdjlmnst])['’]"
#: French hyphenated clitics: `a-t-il`, `donne-le-moi`, `ce livre-là`.
_PARTICLE = (
    r"-(?:t-(?:il|elle|on)|je|tu|ils?|elles?|on|nous|(?<!rendez-)vous|ce|les?|la|lui|leur|moi|toi|y|en|ci|là)"
)
#: A clitic at the end of a word or before another clitic. The `-en` of `arc-en-ciel` is neither.
_FINAL_PARTICLE = rf"{_PARTICLE}(?=(?:{_PARTICLE})*(?![\w-]))"
#: Ends of English contractions: the `n't` of `don't`, the `'s` of `Paul's`, the `'m` of `I'm`.
_CONTRACTED = r"n['’]t|['’](?:s|re|ve|ll|d|m)"

_SPLITS = [
    (re.compile(rf"(?<![\w'’-])(?!n['’]t\b)({_ELIDED})(?=\w)", re.IGNORECASE), r"\1 "),
    (re.compile(rf"(?<=\w)(?<!-t)({_FINAL_PARTICLE})", re.IGNORECASE), r" \1"),
    (re.compile(r"(?<=\w)(-[mt]['’])(?=\w)", re.IGNORECASE), r" \1 "),
    (re.compile(rf"(?<=\w)({_CONTRACTED})(?!\w)", re.IGNORECASE), r" \1"),
]
_WORD = re.compile(
    rf"-[mt]['’](?=\s)|{_PARTICLE}(?=\s|[^\w-]|$)|(?<!\w)(?:{_ELIDED})(?=\s)|(?:{_CONTRACTED})(?!\w)"
    r"|\w+(?:['’-]\w+|(?<=\d)[.,:]\d+)*|[^\w\s]",
    re.IGNORECASE,
)
#: Words that are written without a space before them, and words that are written without a space after them.
_NO_SPACE_BEFORE = re.compile(rf"{_PARTICLE}|-[mt]['’]|n['’]t|['’]\w+", re.IGNORECASE)
_NO_SPACE_AFTER = re.compile(r"[\w-]+['’]", re.IGNORECASE)


def words(text: str) -> list[str]:
    """Split a French or English sentence into words.

    Words are split at whitespace, after an elision (`l'`, `qu'`), before a hyphenated clitic (`-t-il`, `-là`)
    or a contraction (`n't`, `'s`), and around punctuation. No character is changed: if the words are joined
    without spaces, the result is the text without its whitespace.
    """
    for pattern, replacement in _SPLITS:
        text = pattern.sub(replacement, text)
    return _WORD.findall(text)


def words_of(text: str, *, tokenized: bool) -> list[str]:
    """Return `words(text)` or, if the text is already tokenized, its space-separated words."""
    return [word for word in text.split(" ") if word] if tokenized else words(text)


def detokenize(words: Sequence[str], *, language: str) -> str:
    """Join words to running text, the kind of text that a model is trained on.

    Words are separated by spaces, except in these places: after an elision or an opening bracket; before a
    clitic, a contraction, a closing bracket, a comma, a full stop or an ellipsis; and, unless the text is
    French, before `?`, `!`, `:` and `;`. Quotation marks have a space on both sides.

    Args:
        words: the words; empty words are ignored.
        language: code of the language; only `fr` makes a difference.
    """
    words = [word for word in words if word]
    closing = ",.…)]}" if language == "fr" else ",.…)]}?!:;"
    text = ""
    for before, word in zip(["", *words], words, strict=False):
        joins_previous = _NO_SPACE_BEFORE.fullmatch(word) or word in closing
        # Before the first word, `before` is empty, and an empty string is `in` any string.
        joins_next = _NO_SPACE_AFTER.fullmatch(before) or before in "([{"
        text += word if joins_previous or joins_next else f" {word}"
    return text
