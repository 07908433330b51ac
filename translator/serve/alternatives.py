"""Other words at a place of a translation, each with the best translation that goes on from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from translator.alignment.attention import Span, word_spans
from translator.alignment.words import words
from translator.data.sentences import paired_sentences
from translator.data.tokenizer import WORD_MARK
from translator.engine.runtime import device_of
from translator.search.step import mask_log_probs
from translator.symbols import BOS, EOS
from translator.translation.batched_search import EngineStepper
from translator.translation.inference import Translator

#: Pieces tried for each alternative wanted: several pieces may begin the same word.
_TRIED = 3


@dataclass(frozen=True)
class Alternative:
    """Another word: itself, the translation with it, and p of its first piece after what stands before."""

    word: str
    text: str
    probability: float


def spans(text: str) -> list[Span]:
    """Return where each of `alignment.words` begins and ends in a text."""
    return word_spans(words(text), text)


def alternatives(
    translator: Translator, source: str, target: str, *, word: int, n_wanted: int = 6
) -> Iterator[Alternative | None]:
    """Look for other words for one word of a translation, the likeliest first.

    What stands before the word is kept; where the translator splits sentences, so is what stands after its
    sentence. The pieces that are likeliest there are each forced in turn, and a search goes on from them; of
    those that lead to the same word only the first counts. After each search comes what it found, or None, so
    that whoever waits no more can leave it there.

    Args:
        translator: the model.
        source: a line, or one of its sentences, that the model takes whole; of a longer one there are none.
        target: its translation, from a search or chosen before.
        word: number of the word in `alignment.words(target)`.
        n_wanted: at most so many.
    """
    places, source = spans(target), translator.mapped(source)
    if not 0 <= word < len(places):
        return
    data = translator.config.data
    pairs = [((0, len(source)), (0, len(target)))]
    if translator.splits_sentences:
        pairs = paired_sentences(source, target, (data.source_language, data.target_language))
    (a, b), (c, d) = next(pair for pair in reversed(pairs) if pair[1][0] <= places[word][0])
    n_before = sum(start < c for start, _ in places)
    for other in _of_sentence(translator, source[a:b], target[c:d], word - n_before, n_wanted):
        yield other and replace(other, text=target[:c] + other.text + target[d:])


def _of_sentence(
    translator: Translator, source: str, target: str, word: int, n_wanted: int
) -> Iterator[Alternative | None]:
    parts = [ids for _, ids in translator.cut([source], sentences=False)]
    start = spans(target)[word][0]
    before = target[:start].rstrip()
    forced = translator.tokenizer.encode_prefix(before, whole=target)
    if len(parts) != 1 or len(forced) + 2 > translator.config.model.max_length:
        return
    begins_word = start == 0 or len(before) < start
    kept = words(target)[: word + 1]
    found = {kept[-1]}
    for piece, probability in _likeliest(translator, parts[0], forced, begins_word, _TRIED * n_wanted):
        [result] = translator.search(parts, translator.config.search, prefix=[*forced, piece])
        text = translator.tokenizer.decode(result.hypotheses[0].ids)
        reached = words(text)[: word + 1]
        # A piece that only lengthens the word before, or that cuts words elsewhere, is no alternative.
        is_other = len(reached) == word + 1 and reached[:-1] == kept[:-1] and reached[-1] not in found
        if is_other:
            found.add(reached[-1])
        yield Alternative(reached[-1], text, probability) if is_other else None
        if len(found) > n_wanted:
            return


@torch.inference_mode()
def _likeliest(
    translator: Translator, source: Sequence[int], forced: Sequence[int], begins_word: bool, n_pieces: int
) -> list[tuple[int, float]]:
    """The likeliest pieces after a prefix and their probabilities; never the end."""
    device, tokenizer = device_of(translator.model), translator.tokenizer
    memory = translator.engine.encode(torch.tensor([[*source, EOS]], device=device))
    stepper = EngineStepper(translator.engine, memory)
    nothing = torch.zeros(1, 1, dtype=torch.int64, device=device)
    scores: Tensor = stepper.step(torch.full_like(nothing, BOS))
    for token in forced:
        stepper.reorder(nothing[0], nothing)
        scores = stepper.step(torch.full_like(nothing, token))
    forbidden = torch.tensor(tokenizer.never_emitted, device=device)
    mask_log_probs(scores, forbidden=forbidden, end=EOS, at_start=True, at_limit=None)
    log_probs = scores[0, 0]  # (V,)
    if begins_word:
        pieces = tokenizer.pieces(range(len(tokenizer)))
        inside = [number for number, piece in enumerate(pieces) if not piece.startswith(WORD_MARK)]
        log_probs[torch.tensor(inside, device=device)] = -torch.inf
    top = log_probs.topk(min(n_pieces, len(log_probs)))
    found = zip(top.indices.tolist(), top.values.exp().tolist(), strict=True)
    return [(piece, probability) for piece, probability in found if probability > 0]
