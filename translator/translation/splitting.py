"""Cutting a text into what a model takes at once: its lines, perhaps their sentences, parts of long ones."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from translator.data.sentences import split_sentences

_WORD = re.compile(r"\S+")
_LINE_BREAK = re.compile(r"\r?\n")


class Part(NamedTuple):
    """What of a text is translated by itself.

    Attributes:
        number: of the text that it is of.
        text: itself.
        separator: what stands between it and the part before: a space or line breaks; empty at the start.
    """

    number: int
    text: str
    separator: str


def cut(
    texts: Sequence[str], mapped: Callable[[str], str], *, sentences: bool, language: str
) -> Iterator[Part]:
    """Cut texts into lines and, if wanted, into sentences; nothing is left of what is blank.

    Args:
        texts: any.
        mapped: the input map of the model.
        sentences: whether lines are cut.
        language: ISO 639-1 code of the texts.
    """
    for number, text in enumerate(texts):
        separator = ""
        for n_before, line in enumerate(_LINE_BREAK.split(text)):
            if n_before and separator:
                separator = separator.strip(" ") + "\n"
            line = mapped(line).strip()
            for part in split_sentences(line, language) if sentences else [line] if line else []:
                yield Part(number, part, separator)
                separator = " "


def split_text(text: str, fits: Callable[[str], bool], *, language: str = "fr") -> list[str]:
    """Cut a text into parts that fit: at sentence ends, else at spaces, else at characters.

    Args:
        text: without white space at either end.
        fits: whether a part is short enough; a single character always counts as such.
        language: its ISO 639-1 code.

    Returns:
        The parts, without the white space between them, unchanged within; the text itself where it fits.
    """
    if fits(text):
        return [text]
    parts = []
    for sentence in split_sentences(text, language):
        parts += [sentence] if fits(sentence) else _pack(sentence, fits)
    return parts


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
