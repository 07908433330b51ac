"""Cutting a text that is longer than a model takes."""

import re
from collections.abc import Callable

#: White space after a sentence and what closes it; French puts a space before ».
_SENTENCE_END = re.compile(r"(?<=[.!?…])(?:\s?»|[\"'”’)\]])*\s+")
_WORD = re.compile(r"\S+")


def split_text(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut a text into parts that fit: at sentence ends, else at spaces, else at characters.

    Args:
        text: without white space at either end.
        fits: whether a part is short enough; a single character always counts as such.

    Returns:
        The parts, without the white space between them, unchanged within; the text itself where it fits.
    """
    if fits(text):
        return [text]
    parts = []
    for sentence in _cut(text, _SENTENCE_END):
        parts += [sentence] if fits(sentence) else _pack(sentence, fits)
    return parts


def _cut(text: str, boundary: re.Pattern[str]) -> list[str]:
    parts, start = [], 0
    for match in boundary.finditer(text):
        parts.append(text[start : match.end()].strip())
        start = match.end()
    return [part for part in [*parts, text[start:].strip()] if part]


def _pack(sentence: str, fits: Callable[[str], bool]) -> list[str]:
    """Put as many words into a part as fit; cut a word that alone does not."""
    parts: list[str] = []
    words = [match.span() for match in _WORD.finditer(sentence)]
    at = 0
    while at < len(words):
        start, end = words[at]
        n = _most(len(words) - at, lambda n: fits(sentence[start : words[at + n - 1][1]]))  # noqa: B023
        if n:
            end = words[at + n - 1][1]
            at += n
        else:
            n = max(1, _most(end - start, lambda n: fits(sentence[start : start + n])))  # noqa: B023
            end = start + n
            words[at] = (end, words[at][1])
            at += end == words[at][1]
        parts.append(sentence[start:end])
    return parts


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The greatest n ≤ limit that fits, by doubling and halving; 0 where none does."""
    low, high = 0, 1
    while high <= limit and fits(high):
        low, high = high, 2 * high
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
