"""The words of a translation, with their probabilities and links, computed by teacher forcing."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from translator.alignment.attention import word_spans
from translator.alignment.links import Link
from translator.alignment.words import words
from translator.data.tokenizer import Tokenizer
from translator.translation.aligner import Aligner
from translator.translation.inference import Translator
from translator.translation.joining import Word
from translator.translation.scoring import token_log_probs


@dataclass(frozen=True)
class LinkedWords:
    """The words of a part of a text and of its translation; see `Translation` for what they are."""

    source: list[str]
    target: list[Word]
    links: list[Link]


def linked_words(translator: Translator, parts: Sequence[tuple[str, Sequence[int]]]) -> list[LinkedWords]:
    """Compute the words of each part.

    Args:
        translator: the translator that translated the parts.
        parts: the source of each part, as the model reads it, and the token ids of its translation.
    """
    tokenizer, sources = translator.tokenizer, [source for source, _ in parts]
    ids = [part_ids for _, part_ids in parts]
    targets = [tokenizer.decode(part_ids) for part_ids in ids]
    links = Aligner(translator).align(sources, targets)
    log_probs = token_log_probs(translator.model, tokenizer.encode_batch(sources), targets=ids, batch_size=64)
    result = []
    for n, target in enumerate(targets):
        target_words = words(target)
        totals = [0.0] * len(target_words)
        for owner, log_prob in zip(word_of_each(tokenizer, ids[n], target), log_probs[n], strict=False):
            if owner >= 0:  # the end symbol, which is last, has no owner
                totals[owner] += log_prob
        found = [Word(text, math.exp(total)) for text, total in zip(target_words, totals, strict=True)]
        result.append(LinkedWords(words(sources[n]), found, links[n]))
    return result


def word_of_each(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> list[int]:
    """Return, for each piece of a text, the index of the word in which it starts.

    A piece that starts with whitespace belongs to the word after it; at the end of the text, to the last
    word. If there are no words, the index of each piece is -1.
    """
    ends = [end for _, end in word_spans(words(text), text)]
    return [min(bisect_right(ends, start), len(ends) - 1) for start, _ in tokenizer.spans(ids)]
