"""Splitting of texts into parts that the model translates separately.

A part is a line, a sentence, or a segment of a line or sentence that is too long for the model.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from translator.data.sentences import split_sentences
from translator.data.tokenizer import Tokenizer

SplitSentences = Literal["auto", "always", "never"]

#: Key in a model's manifest. Its value is the fraction of training sources that have two or more sentences.
SHARE = "multi_sentence_share"
#: If this fraction is below `MAX_MULTI_SENTENCE_SHARE`, sentences are translated separately by default.
MAX_MULTI_SENTENCE_SHARE = 0.05

_WORD = re.compile(r"\S+")
_LINE_BREAK = re.compile(r"\r?\n")


class Part(NamedTuple):
    """A part of a text that is translated separately.

    Attributes:
        number: index of the text to which the part belongs.
        text: the text of the part.
        separator: a space or line breaks, to be inserted before the translation of the part when the
            translations of all parts are joined. It is empty for the first part of a text.
    """

    number: int
    text: str
    separator: str


def tokenized_parts(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    *,
    input_map: Callable[[str], str],
    sentences: bool,
    language: str,
    max_tokens: int,
) -> list[tuple[Part, list[int]]]:
    """Split texts into parts, and return the parts in order, each with its token ids.

    Args:
        texts: any texts. A blank text yields no parts.
        tokenizer: the tokenizer of the model.
        input_map: function that is applied to each line.
        sentences: whether lines are split into sentences.
        language: ISO 639-1 code of the language of the texts.
        max_tokens: maximum number of tokens of a part. `split_text` splits longer parts into segments.
    """
    parts = [*cut(texts, input_map, sentences=sentences, language=language)]
    result: list[tuple[Part, list[int]]] = []
    # All parts are encoded in one call, because many calls of one part each would be slower.
    for part, ids in zip(parts, tokenizer.encode_batch([part.text for part in parts]), strict=True):
        if len(ids) <= max_tokens:
            result.append((part, ids))
            continue
        segments = split_text(
            part.text, lambda text: len(tokenizer.encode(text)) <= max_tokens, language=language
        )
        separator = part.separator
        for segment, segment_ids in zip(segments, tokenizer.encode_batch(segments), strict=True):
            result.append((Part(part.number, segment, separator), segment_ids))
            separator = " "
    return result


def cut(
    texts: Sequence[str], input_map: Callable[[str], str], *, sentences: bool, language: str
) -> Iterator[Part]:
    """Split texts into parts: lines or, if `sentences` is true, the sentences of each line.

    A blank line has no parts.

    Args:
        texts: any texts.
        input_map: function that is applied to each line before the line is split.
        sentences: whether lines are split into sentences.
        language: ISO 639-1 code of the language of the texts.
    """
    for number, text in enumerate(texts):
        separator = ""
        for n_before, line in enumerate(_LINE_BREAK.split(text)):
            if n_before and separator:
                separator = separator.strip(" ") + "\n"
            line = input_map(line).strip()
            for part in split_sentences(line, language) if sentences else [line] if line else []:
                yield Part(number, part, separator)
                separator = " "


def split_text(text: str, fits: Callable[[str], bool], *, language: str = "fr") -> list[str]:
    """Split a text into segments that are short enough.

    A text that is too long is split between sentences. A sentence that is too long is split at whitespace,
    and a word that is too long is split between characters.

    Args:
        text: a text without whitespace at either end.
        fits: function that returns whether a segment is short enough. Regardless of this function, a single
            character is never split.
        language: ISO 639-1 code of the language of the text.

    Returns:
        The segments, without the whitespace between them. If the text is short enough, it is the only
        segment.
    """
    if fits(text):
        return [text]
    segments = []
    for sentence in split_sentences(text, language):
        segments += [sentence] if fits(sentence) else _pack(sentence, fits)
    return segments


def _pack(sentence: str, fits: Callable[[str], bool]) -> list[str]:
    """Split a sentence into segments, each with as many words as fit. A word that is too long is split."""
    segments: list[str] = []
    words = [match.span() for match in _WORD.finditer(sentence)]
    at = 0
    while at < len(words):
        start, end = words[at]
        n = _largest(len(words) - at, lambda n: fits(sentence[start : words[at + n - 1][1]]))  # noqa: B023
        if n:
            end = words[at + n - 1][1]
            at += n
        else:
            n = max(1, _largest(end - start, lambda n: fits(sentence[start : start + n])))  # noqa: B023
            end = start + n
            words[at] = (end, words[at][1])
            at += end == words[at][1]
        segments.append(sentence[start:end])
    return segments


def _largest(limit: int, fits: Callable[[int], bool]) -> int:
    """Find the largest n ≤ `limit` for which `fits(n)` is true, by bisection. Return 0 if there is none."""
    low, high = 0, 1
    while high <= limit and fits(high):
        low, high = high, 2 * high
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def learnt_single_sentences(multi_sentence_share: object) -> bool:
    """Return whether almost all training sources of a model were single sentences. Return False if unknown.

    Args:
        multi_sentence_share: the value of `SHARE` in the model's manifest, or None if there is no such value.
    """
    if not isinstance(multi_sentence_share, float | int):
        return False
    return multi_sentence_share < MAX_MULTI_SENTENCE_SHARE
