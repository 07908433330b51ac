"""What is shown of a translation: attention, probabilities, the beam, and which word goes with which."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translator.alignment.links import Link
from translator.alignment.words import words
from translator.data.batching import make_batch
from translator.data.tokenizer import WORD_MARK, Tokenizer
from translator.engine.runtime import device_of
from translator.errors import UsageError
from translator.explain.tree import Node, grow
from translator.model.masks import causal_mask
from translator.search import Hypothesis, Trace
from translator.symbols import BOS, EOS, PAD
from translator.translation.aligner import Aligner
from translator.translation.inference import Translator

#: Pieces shown beside the one that was taken.
N_ALTERNATIVES = 5
#: A piece that is a byte of UTF-8, and not the first of a letter.
_CONTINUES = re.compile("<0x[89AB].>")
NAMES = {BOS: "⟨start⟩", EOS: "⟨end⟩", PAD: "⟨padding⟩"}


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one role.

    Attributes:
        weights: (layers, H, Q, K) float32 on the CPU; each row sums to one, zero where it may not look.
        mask: (Q, K) bool, True = may be attended to.
    """

    weights: Tensor
    mask: Tensor

    @property
    def average(self) -> Tensor:
        """(Q, K), over all layers and heads."""
        return self.weights.mean((0, 1))


@dataclass(frozen=True)
class Choice:
    """A piece of the translation.

    Attributes:
        probability: of it, given those before it.
        forced: whether it was given and not chosen.
        alternatives: the likeliest others and their probabilities, best first.
    """

    probability: float
    forced: bool
    alternatives: list[tuple[str, float]]


@dataclass(frozen=True)
class Explanation:
    """A translation and what it came from.

    Attributes:
        source: the text, or its first part where it is translated in parts.
        translation: of it.
        languages: of both.
        log_prob: Σ log p of the translation's pieces and the end symbol.
        score: `log_prob` / length^α.
        beam_size: W of the search.
        n_parts: parts that the text is translated in; the first is explained.
        source_pieces: S pieces as people read them, the end symbol last.
        target_pieces: T pieces that were written, the end symbol last. Row i of the decoder's maps wrote
            piece i; it had read the start symbol and the pieces before i.
        source_words: what alignments count as words.
        target_words: the same of the translation.
        source_owners: for each source piece the number of its word; -1 of the end symbol.
        target_owners: the same of the translation.
        encoder: self-attention, (layers, H, S, S).
        decoder: self-attention, (layers, H, T, T).
        cross: cross-attention, (layers, H, T, S).
        choices: T, of the target pieces.
        nodes: the beam's tree (see `tree.grow`).
        node_pieces: the pieces of the nodes as people read them.
        hypotheses: the finished ones, best first: number of the node, and text.
        links: word of the source, word of the translation, as `Aligner` finds them.
    """

    source: str
    translation: str
    languages: tuple[str, str]
    log_prob: float
    score: float
    beam_size: int
    n_parts: int
    source_pieces: list[str]
    target_pieces: list[str]
    source_words: list[str]
    target_words: list[str]
    source_owners: list[int]
    target_owners: list[int]
    encoder: AttentionMap
    decoder: AttentionMap
    cross: AttentionMap
    choices: list[Choice]
    nodes: list[Node]
    node_pieces: list[str]
    hypotheses: list[tuple[int, str]]
    links: list[Link]


def explain(
    translator: Translator, text: str, *, beam_size: int | None = None, prefix: str = ""
) -> Explanation:
    """Translate a text as `Translator.translate` does and say how it came about.

    Attention is recomputed for the hypothesis that was chosen, by teacher forcing with the same weights.
    With a translator in float32 it is the search's own but for rounding.

    Args:
        translator: the model.
        text: in the source language; of one that is translated in parts, the first is explained.
        beam_size: hypotheses kept; None: the model's `search.beam_size`.
        prefix: what the translation must begin with.

    Raises:
        UsageError: the text is blank, the beam is below 1 or the prefix has a line break.
    """
    forced, options = translator.forced(prefix), translator.options(beam_size)
    parts = translator.cut([text], sentences=not forced)
    if not parts:
        raise UsageError("the text is blank; give a sentence to explain")
    trace: Trace = []
    source_ids = parts[0][1]
    [result] = translator.search([source_ids], options, prefix=forced, trace=trace)
    best, tokenizer = result.hypotheses[0], translator.tokenizer
    source, translation = tokenizer.decode(source_ids), tokenizer.decode(best.ids)
    encoder, decoder, cross, log_probs = _attention(translator, source_ids, best)
    nodes = grow(trace, best, length_penalty=options.length_penalty)
    languages = translator.config.data.source_language, translator.config.data.target_language
    return Explanation(
        source=source,
        translation=translation,
        languages=languages,
        log_prob=best.log_prob,
        score=best.score,
        beam_size=options.beam_size,
        n_parts=len(parts),
        source_pieces=readable(tokenizer, [*source_ids, EOS]),
        target_pieces=readable(tokenizer, [*best.ids, EOS]),
        source_words=words(source),
        target_words=words(translation),
        source_owners=[*owners(tokenizer, source_ids, words(source)), -1],
        target_owners=[*owners(tokenizer, best.ids, words(translation)), -1],
        encoder=encoder,
        decoder=decoder,
        cross=cross,
        choices=_choices(tokenizer, log_probs, best, n_forced=len(forced)),
        nodes=nodes,
        node_pieces=readable(tokenizer, [node.piece for node in nodes]),
        hypotheses=_hypotheses(tokenizer, nodes),
        links=Aligner(translator).align([source], [translation])[0],
    )


@torch.inference_mode()
def _attention(
    translator: Translator, source_ids: list[int], best: Hypothesis
) -> tuple[AttentionMap, AttentionMap, AttentionMap, Tensor]:
    """The maps of the three roles, and the log-probabilities (T, V), of a hypothesis read at once."""
    model = translator.model
    batch = make_batch([source_ids], [best.ids]).to(device_of(model))
    encoder, decoder = model.attention_maps(batch.source_ids, batch.target_in)
    log_probs = model(batch.source_ids, batch.target_in).float().log_softmax(-1)[0].cpu()
    n_source, n_target = len(source_ids) + 1, len(best.ids) + 1

    def together(layers: list[Tensor], mask: Tensor) -> AttentionMap:
        return AttentionMap(torch.cat(layers).float().cpu(), mask)

    return (
        together(encoder.self_attention, torch.ones(n_source, n_source, dtype=torch.bool)),
        together(decoder.self_attention, causal_mask(n_target).view(n_target, n_target)),
        together(decoder.cross_attention, torch.ones(n_target, n_source, dtype=torch.bool)),
        log_probs,
    )


def _choices(tokenizer: Tokenizer, log_probs: Tensor, best: Hypothesis, *, n_forced: int) -> list[Choice]:
    """What was taken at each place, and the likeliest others that a search may take there."""
    probabilities, chosen = log_probs.exp(), [*best.ids, EOS]  # (T, V)
    others = probabilities.clone()
    others[:, tokenizer.never_emitted] = -1
    others[0, EOS] = -1  # no translation is empty
    others[range(len(chosen)), chosen] = -1
    top = others.topk(min(N_ALTERNATIVES, others.size(1)))
    found = []
    for place, (piece, values, ids) in enumerate(
        zip(chosen, top.values.tolist(), top.indices.tolist(), strict=True)
    ):
        names = readable(tokenizer, ids)
        alternatives = [(name, value) for name, value in zip(names, values, strict=True) if value >= 0]
        found.append(Choice(float(probabilities[place, piece]), place < n_forced, alternatives))
    return found


def _hypotheses(tokenizer: Tokenizer, nodes: Sequence[Node]) -> list[tuple[int, str]]:
    """The finished ones, best first; of equals the first found leads, as in the search."""
    scores = {number: node.score for number, node in enumerate(nodes) if node.score is not None}
    found = []
    for number in sorted(scores, key=lambda number: -scores[number]):
        way, at = [], number
        while at > 0:
            way.append(nodes[at].piece)
            at = nodes[at].parent
        found.append((number, tokenizer.decode(way[::-1])))
    return found


def readable(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Return pieces for people: `maison` begins a word, `·nette` goes on with one."""

    def name(i: int, piece: str) -> str:
        if i in NAMES:
            return NAMES[i]
        if piece.startswith(WORD_MARK):
            return piece[1:] or "␣"
        return f"·{piece}" if piece[:1].isalnum() else piece

    return [name(i, piece) for i, piece in zip(ids, tokenizer.pieces(ids), strict=True)]


def owners(tokenizer: Tokenizer, ids: Sequence[int], of_words: Sequence[str]) -> list[int]:
    """Return, for each piece, the number of the word that its first letter stands in.

    Words and pieces are two ways of cutting one text, white space aside; so it is enough to count letters.
    """
    by_letter = [number for number, word in enumerate(of_words) for _ in word]
    found: list[int] = []
    for n, piece in enumerate(tokenizer.pieces(ids)):
        if found and _CONTINUES.fullmatch(piece):
            found.append(found[-1])
            continue
        n_before = len("".join(tokenizer.decode(ids[:n]).split()))
        found.append(by_letter[min(n_before, len(by_letter) - 1)] if by_letter else -1)
    return found
