"""Segmentation of French and English text into words, for word alignment."""

import re
from collections.abc import Sequence

#: Elided French words, such as the `l'` of `l'eau` and the `qu'` of `qu'il`.
_ELIDED = r"(?:jusqu|lorsqu|puisqu|quoiqu|qu|[cdjlmnst])['’]"
#: French clitics after a hyphen, such as those of `a-t-il`, `donne-le-moi` and `ce livre-là`.
_PARTICLE = (
    r"-(?:t-(?:il|elle|on)|je|tu|ils?|elles?|on|nous|(?<!rendez-)vous|ce|les?|la|lui|leur|moi|toi|y|en|ci|là)"
)
#: A clitic at the end of a word, possibly with other clitics after it. The `-en` of `arc-en-ciel` does not
#: match.
_FINAL_PARTICLE = rf"{_PARTICLE}(?=(?:{_PARTICLE})*(?![\w-]))"
#: The ends of English contractions, such as the `n't` of `don't`, the `'s` of `Paul's` and the `'m` of `I'm`.
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
#: `_NO_SPACE_BEFORE` matches words that have no space before them in running text, and `_NO_SPACE_AFTER`
#: matches words that have no space after them.
_NO_SPACE_BEFORE = re.compile(rf"{_PARTICLE}|-[mt]['’]|n['’]t|['’]\w+", re.IGNORECASE)
_NO_SPACE_AFTER = re.compile(r"[\w-]+['’]", re.IGNORECASE)


def words(text: str) -> list[str]:
    """Split a French or English sentence into words.

    The sentence is split at whitespace, after elided words (`l'`, `qu'`), before clitics with a hyphen
    (`-t-il`, `-là`), before the ends of contractions (`n't`, `'s`), and before and after punctuation. No
    character is changed: if the words are joined without spaces, the result is the text without its
    whitespace.
    """
    for pattern, replacement in _SPLITS:
        text = pattern.sub(replacement, text)
    return _WORD.findall(text)


def words_of(text: str, *, tokenized: bool) -> list[str]:
    """Return `words(text)` or, if `tokenized` is set, the words that are separated by spaces in the text."""
    return [word for word in text.split(" ") if word] if tokenized else words(text)


def detokenize(words: Sequence[str], *, language: str) -> str:
    """Join words to form running text, which is the kind of text on which models are trained.

    A space is put between two words, except in these places: after an elided word or an opening bracket;
    before a clitic, the end of a contraction, a closing bracket, a comma, a full stop or an ellipsis; and, if
    the language is not French, before `?`, `!`, `:` and `;`. Quotation marks have a space on both sides.

    Args:
        words: the words. Empty words are ignored.
        language: code of the language. All languages except `fr` are treated alike.
    """
    words = [word for word in words if word]
    closing = ",.…)]}" if language == "fr" else ",.…)]}?!:;"
    text = ""
    for before, word in zip(["", *words], words, strict=False):
        joins_previous = _NO_SPACE_BEFORE.fullmatch(word) or word in closing
        # For the first word, `before` is empty. So `joins_next` is true, because an empty string is `in` any
        # string, and no space is put before the first word.
        joins_next = _NO_SPACE_AFTER.fullmatch(before) or before in "([{"
        text += word if joins_previous or joins_next else f" {word}"
    return text
