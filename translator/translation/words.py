"""The words of a translation, with their probabilities and links."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from translator.alignment.attention import word_spans
from translator.alignment.links import Link
from translator.alignment.words import words
from translator.data.sentences import paired_sentences
from translator.data.tokenizer import Tokenizer
from translator.search.result import Hypothesis
from translator.translation.aligner import Aligner
from translator.translation.inference import Translator
from translator.translation.joining import Translation, Word
from translator.translation.scoring import token_log_probs


@dataclass(frozen=True)
class LinkedWords:
    """The words of a part of a text and of its translation; see `Translation` for what they are."""

    source: list[str]
    target: list[Word]
    links: list[Link]


def linked_words(translator: Translator, parts: Sequence[tuple[str, Hypothesis]]) -> list[LinkedWords]:
    """Compute the words of each part.

    Args:
        translator: the translator that translated the parts.
        parts: the source of each part, as the model reads it, and its translation. If the translation has no
            log-probabilities of its tokens, they are computed by teacher forcing.
    """
    tokenizer, sources = translator.tokenizer, [source for source, _ in parts]
    targets = [tokenizer.decode(found.ids) for _, found in parts]
    links = Aligner(translator).align(sources, targets)
    log_probs = _log_probs(translator, parts)
    result = []
    for n, target in enumerate(targets):
        target_words = words(target)
        totals = [0.0] * len(target_words)
        owners = word_of_each(tokenizer, parts[n][1].ids, target)
        for owner, log_prob in zip(owners, log_probs[n], strict=False):
            if owner >= 0:  # the end symbol, which is last, has no owner
                totals[owner] += log_prob
        found = [Word(text, math.exp(total)) for text, total in zip(target_words, totals, strict=True)]
        result.append(LinkedWords(words(sources[n]), found, links[n]))
    return result


def given_translation(translator: Translator, source: str, target: str) -> Translation:
    """Return a line and a given translation of it as a `Translation` without a score or candidates."""
    source = translator.mapped(source)
    if not source.strip() or not target.strip():
        return Translation(source, target, 0.0, (), 0)
    pairs, data = [((0, len(source)), (0, len(target)))], translator.config.data
    if translator.splits_sentences:
        pairs = paired_sentences(source, target, (data.source_language, data.target_language))
    encode = translator.tokenizer.encode
    parts = [(source[a:b], Hypothesis(encode(target[c:d]), math.nan, math.nan)) for (a, b), (c, d) in pairs]
    return Translation(source, target, 0.0, (), len(parts), _compute=partial(linked_words, translator, parts))


def _log_probs(translator: Translator, parts: Sequence[tuple[str, Hypothesis]]) -> list[Sequence[float]]:
    """Return log p of the tokens of each translation: what the search has listed, else by teacher forcing."""
    log_probs = [found.log_probs for _, found in parts]
    unknown = [n for n, values in enumerate(log_probs) if not values]
    if unknown:
        sources = translator.tokenizer.encode_batch([parts[n][0] for n in unknown])
        ids = [parts[n][1].ids for n in unknown]
        computed = token_log_probs(translator.model, sources, targets=ids, batch_size=64)
        for n, values in zip(unknown, computed, strict=True):
            log_probs[n] = values
    return log_probs


def word_of_each(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> list[int]:
    """Return, for each piece of a text, the index of the word in which it starts.

    A piece that starts with whitespace belongs to the word after it; at the end of the text, to the last
    word. If there are no words, the index of each piece is -1.
    """
    ends = [end for _, end in word_spans(words(text), text)]
    return [min(bisect_right(ends, start), len(ends) - 1) for start, _ in tokenizer.spans(ids)]
