"""Finds word links, given the attention weights between tokens and the embeddings of the tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from translator.alignment.links import Link

#: A half-open range of characters in a text, (start, end).
Span = tuple[int, int]

#: In its second step, `links_of` links two words only if the weight of the link exceeds this value. Like
#: `_SIMILARITY_WEIGHT`, it was chosen on the split `val` of the phrasebook (docs/alignment.md).
MIN_WEIGHT = 0.1
#: The weight of a link is attention · exp(`_SIMILARITY_WEIGHT` · similarity).
_SIMILARITY_WEIGHT = 3.0


def word_spans(words: Sequence[str], text: str) -> list[Span]:
    """Return the span of each word in a text.

    Args:
        words: the words of the text, in order.
        text: a text that consists of the words, with or without whitespace between them.

    Raises:
        ValueError: a word is not found in the text after the end of the previous word.
    """
    spans, end = [], 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        spans.append((start, end))
    return spans


def token_weights(tokens: Sequence[Span], words: Sequence[Span]) -> Tensor:
    """Return for each token and each word the fraction of the token's characters that belong to the word.

    Characters that belong to no word, such as whitespace, are not counted.

    Args:
        tokens: spans of the tokens, in order. If a character is encoded as several bytes, each of these
            tokens has the span of the whole character.
        words: spans of the words, in order.

    Returns:
        (tokens, words) float32. Each row sums to one or, if no character of the token belongs to a word, to
        zero.
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

    The attention of a target word is the mean over its tokens, and the attention to a source word is the sum
    over its tokens. If only a fraction of a token belongs to a word, this fraction is the token's weight.

    Args:
        attention: (target tokens, source tokens) float, attention of each target token to each source token.
        source: (source tokens, source words) float, from `token_weights`.
        target: (target tokens, target words) float, from `token_weights`.

    Returns:
        (target words, source words) float. Each row sums to at most one.
    """
    n_tokens = target.sum(0)[:, None].clamp(min=1e-9)  # (target words, 1)
    return target.T @ attention @ source / n_tokens


def word_similarity(
    source_embeddings: Tensor, target_embeddings: Tensor, source: Tensor, target: Tensor
) -> Tensor:
    """Return the cosine similarity of the embeddings of target words and source words.

    Source and target share their embeddings, and training brings translations close together, so similarity
    by itself is evidence for a link (SimAlign; Jalili Sabet et al. 2020). The embedding of a word is the mean
    over its tokens.

    Args:
        source_embeddings: (source tokens, D) float.
        target_embeddings: (target tokens, D) float.
        source: (source tokens, source words) float, from `token_weights`.
        target: (target tokens, target words) float, from `token_weights`.

    Returns:
        (target words, source words) float, from -1 to 1. It is zero for a word without tokens.
    """
    return (
        F.normalize(target.T @ target_embeddings, dim=1) @ F.normalize(source.T @ source_embeddings, dim=1).T
    )


def links_of(attention: Tensor, end: Tensor, similarity: Tensor) -> list[Link]:
    """Return the word links that an attention matrix implies, with the help of the words' similarity.

    The weight of a link is attention · exp(3 · similarity).

    In the first step, each target word is linked to the source word with the largest weight. It gets no link
    if it attends at least as much to the end symbol as to any source word. In the second step, each source
    word that still has no link is linked to the target word with the largest weight, provided that this
    weight exceeds `MIN_WEIGHT`.

    Before the first step chooses the source word with the largest weight, each column of the matrix, which
    belongs to one source word, is divided by the square root of its sum. Without this division, a source word
    to which all target words attend, such as the full stop, would receive every link.

    Args:
        attention: (target words, source words) float, from `word_attention`.
        end: (target words,) float, attention of each target word to the end symbol of the source.
        similarity: (target words, source words) float, from `word_similarity`.

    Returns:
        The links (source word, target word), sorted.
    """
    if not attention.numel():
        return []
    weights = attention * (_SIMILARITY_WEIGHT * similarity).exp()
    normalised = weights / weights.sum(0).clamp(min=1e-9).sqrt()
    is_linked = (attention.amax(1) > end).tolist()
    links = {(i, j) for j, i in enumerate(normalised.argmax(1).tolist()) if is_linked[j]}
    linked = {i for i, _ in links}
    for i, j in enumerate(normalised.argmax(0).tolist()):
        if i not in linked and weights[j, i] > MIN_WEIGHT:
            links.add((i, j))
    return sorted(links)


def token_links(
    attention: Tensor, embeddings: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor]
) -> list[Link]:
    """Return the word links of a pair.

    Args:
        attention: (target tokens, source tokens + 1) float, attention of each target token to each source
            token and, in the last column, to the end symbol.
        embeddings: of the source tokens and of the target tokens, (tokens, D) float each.
        weights: from `token_weights`, of the source and of the target.
    """
    source, target = weights
    end = word_attention(attention[:, -1:], torch.ones(1, 1), target)[:, 0]
    similarity = word_similarity(*embeddings, source, target)
    return links_of(word_attention(attention[:, :-1], source, target), end, similarity)
