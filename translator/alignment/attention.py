"""Word links from the attention weights between tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor

from translator.alignment.links import Link

#: A half-open range of characters in a text, (start, end).
Span = tuple[int, int]

#: Minimum attention weight for linking a source word to which the first step of `links_of` gave no link. The
#: value was chosen on the split `val` of the phrasebook (docs/alignment.md).
MIN_WEIGHT = 0.1


def word_spans(words: Sequence[str], text: str) -> list[Span]:
    """Return the span of each word in a text.

    Args:
        words: the words of the text in order.
        text: the words, with or without whitespace between them.

    Raises:
        ValueError: a word is not in the text after the words before it.
    """
    spans, end = [], 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        spans.append((start, end))
    return spans


def token_weights(tokens: Sequence[Span], words: Sequence[Span]) -> Tensor:
    """Return the fraction of each token's characters that belongs to each word; whitespace does not count.

    Args:
        tokens: spans of the tokens, in order. If a character is encoded as several bytes, all of its tokens
            have the span of the character.
        words: spans of the words, in order.

    Returns:
        (tokens, words) float32; each row sums to one or, if the token belongs to no word, to zero.
    """
    weights = torch.zeros(len(tokens), len(words))
    first = 0
    for row, (start, end) in enumerate(tokens):
        while first < len(words) and words[first][1] <= start:
            first += 1
        for column in range(first, len(words)):
            if words[column][0] >= end:
                break
            weights[row, column] = min(end, words[column][1]) - max(start, words[column][0])
    return weights / weights.sum(1, keepdim=True).clamp(min=1)


def word_attention(attention: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Turn attention between tokens into attention between words.

    The weights are summed over the tokens of a source word, and averaged over the tokens of a target word.

    Args:
        attention: (target tokens, source tokens) float.
        source: (source tokens, source words), from `token_weights`.
        target: (target tokens, target words), from `token_weights`.

    Returns:
        (target words, source words) float; each row sums to at most one.
    """
    n_tokens = target.sum(0)[:, None].clamp(min=1e-9)  # (target words, 1)
    return target.T @ attention @ source / n_tokens


def links_of(attention: Tensor, end: Tensor) -> list[Link]:
    """Return the word links that an attention matrix implies.

    First, each target word is linked to the source word that it attends to most, unless it attends more to
    the end symbol. Then, each source word without a link is linked to the target word that attends to it
    most, if the attention exceeds `MIN_WEIGHT`. To find the word with the most attention, each column of the
    matrix is divided by the square root of its sum. Otherwise, a source word to which all target words
    attend, such as the full stop, would receive every link.

    Args:
        attention: (target words, source words) float.
        end: (target words,) float, attention of each target word to the end symbol of the source.

    Returns:
        Sorted (source word, target word) links.
    """
    if not attention.numel():
        return []
    normalised = attention / attention.sum(0).clamp(min=1e-9).sqrt()
    is_linked = (attention.amax(1) > end).tolist()
    links = {(i, j) for j, i in enumerate(normalised.argmax(1).tolist()) if is_linked[j]}
    linked = {i for i, _ in links}
    for i, j in enumerate(normalised.argmax(0).tolist()):
        if i not in linked and attention[j, i] > MIN_WEIGHT:
            links.add((i, j))
    return sorted(links)
