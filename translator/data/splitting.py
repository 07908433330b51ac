"""Cutting a text that is longer than a model takes."""

import re
from collections.abc import Callable

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'»”’)\]]*\s+")
_SPACE = re.compile(r"\s+")


def split_text(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut a text into parts that fit: at sentence ends, else at spaces, else at characters.

    Args:
        text: without white space at either end.
        fits: whether a part is short enough; a single character always counts as such.

    Returns:
        The parts, without the white space between them; the text itself where it fits.
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
    rest = _SPACE.split(sentence)
    while rest:
        n = _most(len(rest), lambda n: fits(" ".join(rest[:n])))  # noqa: B023
        if n:
            parts.append(" ".join(rest[:n]))
            rest = rest[n:]
            continue
        word = rest[0]
        n = max(1, _most(len(word), lambda n: fits(word[:n])))  # noqa: B023
        parts.append(word[:n])
        rest[:1] = [word[n:]] if word[n:] else []
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
