"""Alternatives for a word of a translation, each with the best translation that contains it at that place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from translator.alignment.attention import Span, word_spans
from translator.alignment.words import words
from translator.data.sentences import paired_sentences
from translator.data.tokenizer import WORD_MARK
from translator.search.result import SearchOptions
from translator.search.trace import Trace
from translator.symbols import EOS
from translator.translation.inference import Translator

#: Minimum probability of an alternative. What is less likely is of no use to anybody.
MIN_PROBABILITY = 0.01
#: Maximum number of pieces (entries of the vocabulary) that are tried. There are more of them than
#: alternatives, because different pieces may lead to the same word.
_N_PIECES = 12


@dataclass(frozen=True)
class Alternative:
    """An alternative for a word of a translation.

    Attributes:
        word: the new word.
        text: the new translation, which contains the new word instead of the original one.
        probability: the probability that the model gives to the first piece of the new word, after the part
            of the translation that precedes this word.
    """

    word: str
    text: str
    probability: float


def spans(text: str) -> list[Span]:
    """Return the start and end offsets of each word in a text; see `alignment.words` for what a word is."""
    return word_spans(words(text), text)


def alternatives(
    translator: Translator, source: str, target: str, *, word: int, n_wanted: int = 6
) -> list[Alternative]:
    """Find alternatives for one word of a translation, the likeliest first.

    The translation before the word is kept. If the translator splits lines into sentences, the sentences
    after the one that contains the word are kept, too. Each of the likeliest pieces at the position of the
    word is the start of a hypothesis, and one batched search finds the best way to continue each hypothesis
    to the end of the sentence. If several pieces lead to the same word, only the likeliest of them gives an
    alternative.

    Args:
        translator: the model.
        source: the source line. If the sentence that contains the word exceeds the model's maximum length,
            there are no alternatives.
        target: the translation of the source line. It may contain an alternative that a user chose before.
        word: index of the word in `spans(target)`. If there is no such word, there are no alternatives.
        n_wanted: maximum number of alternatives.
    """
    positions, source = spans(target), translator.mapped(source)
    if not 0 <= word < len(positions):
        return []
    data = translator.config.data
    pairs = [((0, len(source)), (0, len(target)))]
    if translator.splits_sentences:
        pairs = paired_sentences(source, target, (data.source_language, data.target_language))
    (a, b), (c, d) = next(pair for pair in reversed(pairs) if pair[1][0] <= positions[word][0])
    n_before = sum(start < c for start, _ in positions)
    found = _alternatives_in_sentence(translator, source[a:b], target[c:d], word - n_before)
    return [replace(each, text=target[:c] + each.text + target[d:]) for each in found[:n_wanted]]


def _alternatives_in_sentence(
    translator: Translator, source: str, target: str, word: int
) -> list[Alternative]:
    parts = [ids for _, ids in translator.cut([source], sentences=False)]
    start = spans(target)[word][0]
    before = target[:start].rstrip()
    forced = translator.tokenizer.encode_prefix(before, whole=target)
    if len(parts) != 1 or len(forced) + 2 > translator.config.model.max_length:
        return []
    likeliest = _likeliest(translator, parts[0], forced, starts_word=start == 0 or len(before) < start)
    prefixes = [[*forced, piece] for piece, _ in likeliest]
    results = translator.search(parts * len(prefixes), translator.config.search, prefixes=prefixes)
    original, found = words(target)[: word + 1], list[Alternative]()
    for (_, probability), result in zip(likeliest, results, strict=True):
        text = translator.tokenizer.decode(result.hypotheses[0].ids)
        new = words(text)[: word + 1]
        # A piece may give no new word: it may only continue the preceding word, or it may change how the text
        # before it is split into words.
        is_other = len(new) == word + 1 and new[-1] not in (original[-1], *(one.word for one in found))
        if is_other and new[:-1] == original[:-1]:
            found.append(Alternative(new[-1], text, probability))
    return found


def _likeliest(
    translator: Translator, source: Sequence[int], forced: Sequence[int], *, starts_word: bool
) -> list[tuple[int, float]]:
    """Return the ids of the likeliest pieces after the prefix `forced`, each with its probability.

    The end symbol is excluded. If `starts_word` is true, pieces that continue a word are excluded, too.
    """
    tokenizer = translator.tokenizer
    trace: Trace = []
    pieces = tokenizer.pieces(range(len(tokenizer)))
    excluded = [i for i, piece in enumerate(pieces) if starts_word and not piece.startswith(WORD_MARK)]
    options = SearchOptions(
        beam_size=_N_PIECES // 2 + 1,  # a step of a search ranks 2 W + 1 continuations
        length_penalty=0.0,
        forbidden=[*{*tokenizer.never_emitted, *excluded} - {EOS}],
        prefix=forced,
    )
    # The search may end as soon as it has chosen a piece.
    translator.decoder.search([source], max_lengths=[len(forced) + 2], options=options, trace=trace)
    before = trace[len(forced) - 1][0].log_prob if forced else 0.0
    likeliest = [(each.piece, math.exp(each.log_prob - before)) for each in trace[len(forced)]]
    return [(piece, p) for piece, p in likeliest if piece != EOS and p >= MIN_PROBABILITY][:_N_PIECES]
