"""From attention between pieces to links between words; it knows tensors and places in a text, no model."""

from collections.abc import Sequence

import torch
from torch import Tensor

from translator.alignment.links import Link

#: Where something stands in a text: from this character to before that one.
Span = tuple[int, int]

#: A source word that no target word looks at most is linked to the one that looks at it most, if that one
#: spends this share of its attention on it. Chosen on the phrasebook's `val` (docs/alignment.md).
LEAST_SHARE = 0.1


def word_spans(words: Sequence[str], text: str) -> list[Span]:
    """Return where each word of a text stands in it.

    Args:
        words: all of the text but white space, in order.
        text: with any white space between them.

    Raises:
        ValueError: a word is not there.
    """
    spans, end = [], 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        spans.append((start, end))
    return spans


def piece_shares(pieces: Sequence[Span], words: Sequence[Span]) -> Tensor:
    """Return how much of each piece belongs to each word, by its characters.

    A piece within a word is all that word's, whatever space it has with it; one that spans words is shared
    among them. Several pieces of one character are each of its word.

    Returns:
        (pieces, words) float32; each row sums to one, or is zero where a piece is of no word.
    """
    shares = torch.zeros(len(pieces), len(words))
    first = 0
    for row, (start, end) in enumerate(pieces):
        while first < len(words) and words[first][1] <= start:
            first += 1
        for column in range(first, len(words)):
            if words[column][0] >= end:
                break
            shares[row, column] = min(end, words[column][1]) - max(start, words[column][0])
    return shares / shares.sum(1, keepdim=True).clamp(min=1)


def gather(attention: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Gather the attention between pieces into attention between words.

    A word is looked at as much as its pieces together; it looks as its pieces do on average.

    Args:
        attention: (target pieces, source pieces) float.
        source: (source pieces, source words), from `piece_shares`.
        target: (target pieces, target words), from `piece_shares`.

    Returns:
        (target words, source words): a row sums to what the pieces' rows spend on words, at most one.
    """
    n_pieces = target.sum(0)[:, None].clamp(min=1e-9)  # (target words, 1)
    return target.T @ attention @ source / n_pieces


def links_of(attention: Tensor, end: Tensor) -> list[Link]:
    """Decide which words are linked.

    Each target word is linked to the source word that it looks at most, unless it looks at the end of the
    source more than at any word; then each source word that has no link, to the target word that looks at
    it most, if that is worth it (`LEAST_SHARE`). Before "most" is asked, a source word's column is divided by
    the root of its sum, so that one which everything looks at, such as the full stop, does not take all.

    Args:
        attention: (T, S) float, from target words (rows) to source words.
        end: (T,) float, what each target word spends on the end-of-sentence symbol.

    Returns:
        Sorted links, source word first.
    """
    if not attention.numel():
        return []
    even = attention / attention.sum(0).clamp(min=1e-9).sqrt()
    looked_at = even.argmax(1).tolist()
    is_linked = (attention.amax(1) > end).tolist()
    links = {(i, j) for j, i in enumerate(looked_at) if is_linked[j]}
    linked = {i for i, _ in links}
    for i, j in enumerate(even.argmax(0).tolist()):
        if i not in linked and attention[j, i] > LEAST_SHARE:
            links.add((i, j))
    return sorted(links)
