"""The data of an explanation: attention maps, probabilities, the beam search and the word alignment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from translator.alignment.links import Link
from translator.alignment.words import words
from translator.data.pieces import readable
from translator.data.tokenizer import Tokenizer
from translator.errors import UsageError
from translator.explain.about import about
from translator.explain.attention import AttentionMap, attention
from translator.explain.tree import Node, grow
from translator.search.result import Hypothesis
from translator.search.trace import Trace
from translator.symbols import EOS
from translator.translation.aligner import Aligner
from translator.translation.confidence import Confidence
from translator.translation.inference import Translator
from translator.translation.language import looks_like
from translator.translation.words import word_of_each

#: Number of alternatives shown for each chosen piece.
N_ALTERNATIVES = 5


@dataclass(frozen=True)
class Choice:
    """How one piece of the translation was chosen.

    Attributes:
        probability: probability of the piece, given the source and the pieces before it.
        forced: whether the piece belongs to the prefix that the translation had to start with.
        alternatives: the most probable other pieces that the search may choose, each with its probability.
            The most probable comes first.
    """

    probability: float
    forced: bool
    alternatives: list[tuple[str, float]]


@dataclass(frozen=True)
class Explanation:
    """A translation and how the model found it.

    Attributes:
        source: the source text as the model reads it. If the text is translated in parts, this is the first
            part.
        translation: the translation of `source`.
        languages: source and target language codes.
        log_prob: Σ log p of the target pieces, including the end symbol.
        score: `log_prob` / length^α, where the length includes the end symbol.
        length_penalty: the α of all scores.
        beam_size: number of hypotheses that the search keeps at each step.
        n_parts: number of parts in which the text is translated. Only the first part is explained.
        source_pieces: the S source pieces in readable form; the last one is the end symbol.
        target_pieces: the T target pieces in readable form; the last one is the end symbol. Query i of
            `decoder` and `cross` belongs to the step that predicts piece i from the start symbol and the
            pieces before piece i.
        source_words: the words of `source`, as split by `alignment/words.py`.
        target_words: the words of `translation`, split in the same way.
        source_owners: for each source piece, the index of its word in `source_words`; -1 for the end symbol.
        target_owners: for each target piece, the index of its word in `target_words`; -1 for the end symbol.
        encoder: encoder self-attention, (layers, H, S, S).
        decoder: decoder self-attention, (layers, H, T, T).
        cross: cross-attention, (layers, H, T, S).
        choices: one `Choice` for each of the T target pieces.
        nodes: the tree of the beam search (see `tree.grow`).
        node_pieces: the piece of each node in readable form.
        hypotheses: for each finished hypothesis, best first, the index of its last node and its text.
        links: the word alignment that `Aligner` finds, as pairs (source word index, target word index).
        confidence: how likely the translation is to be good; None if the model has no calibration.
        is_source_language: whether `source` looks like a text in the source language.
        about: what is known of the model and of its training (see `about`).
    """

    source: str
    translation: str
    languages: tuple[str, str]
    log_prob: float
    score: float
    length_penalty: float
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
    confidence: Confidence | None
    is_source_language: bool
    about: dict[str, Any]


def explain(
    translator: Translator, text: str, *, beam_size: int | None = None, prefix: str = ""
) -> Explanation:
    """Translate a text as `Translator.translate` does, and explain how the translation was found.

    Attention is recomputed by teacher forcing. In float32, it equals that of the search, up to rounding.

    Args:
        translator: the model.
        text: a text in the source language. If it is translated in parts, only the first is explained.
        beam_size: the beam size; None stands for the model's own setting, `search.beam_size`.
        prefix: text that the translation must start with.

    Raises:
        UsageError: the text is blank, the beam size is below 1 or the prefix has a line break.
    """
    forced, options = translator.forced(prefix), translator.options(beam_size)
    parts = translator.cut([text], sentences=not forced)
    if not parts:
        raise UsageError("the text is blank; give a sentence to explain")
    trace, source_ids = Trace(), parts[0][1]
    [result] = translator.search([source_ids], options, prefix=forced, trace=trace)
    best, tokenizer = result.hypotheses[0], translator.tokenizer
    source, translation = tokenizer.decode(source_ids), tokenizer.decode(best.ids)
    encoder, decoder, cross, log_probs = attention(translator, source_ids, best.ids)
    nodes = grow(trace, best, length_penalty=options.length_penalty)
    data = translator.config.data
    return Explanation(
        source=source,
        translation=translation,
        languages=(data.source_language, data.target_language),
        log_prob=best.log_prob,
        score=best.score,
        length_penalty=options.length_penalty,
        beam_size=options.beam_size,
        n_parts=len(parts),
        source_pieces=readable(tokenizer, [*source_ids, EOS]),
        target_pieces=readable(tokenizer, [*best.ids, EOS]),
        source_words=words(source),
        target_words=words(translation),
        source_owners=[*word_of_each(tokenizer, source_ids, source), -1],
        target_owners=[*word_of_each(tokenizer, best.ids, translation), -1],
        encoder=encoder,
        decoder=decoder,
        cross=cross,
        choices=_choices(tokenizer, log_probs, best, n_forced=len(forced)),
        nodes=nodes,
        node_pieces=[readable(tokenizer, [node.piece])[0] for node in nodes],
        hypotheses=_hypotheses(tokenizer, nodes),
        links=Aligner(translator).align([source], [translation])[0],
        confidence=translator.confidence([(best.log_prob, len(best.ids) + 1)]),
        is_source_language=looks_like(source, data.source_language),
        about=about(translator),
    )


def _choices(tokenizer: Tokenizer, log_probs: Tensor, best: Hypothesis, *, n_forced: int) -> list[Choice]:
    """Return the choice of each target piece. Its alternatives are pieces that the search may choose."""
    probabilities, chosen = log_probs.exp(), [*best.ids, EOS]  # `probabilities` has shape (T, V)
    others = probabilities.clone()
    others[:, tokenizer.never_emitted] = -1
    others[0, EOS] = -1  # the search never chooses the end symbol as the first piece
    others[range(len(chosen)), chosen] = -1
    top = others.topk(min(N_ALTERNATIVES, others.size(1)))
    choices = []
    for position, (piece, values, ids) in enumerate(
        zip(chosen, top.values.tolist(), top.indices.tolist(), strict=True)
    ):
        names = [readable(tokenizer, [i])[0] for i in ids]
        alternatives = [(name, value) for name, value in zip(names, values, strict=True) if value >= 0]
        choices.append(Choice(float(probabilities[position, piece]), position < n_forced, alternatives))
    return choices


def _hypotheses(tokenizer: Tokenizer, nodes: Sequence[Node]) -> list[tuple[int, str]]:
    """Return, for each finished hypothesis, the index of its last node and its text. The best comes first.

    Hypotheses with equal scores stay in the order in which the search finished them.
    """
    scores = {i: node.score for i, node in enumerate(nodes) if node.score is not None}
    hypotheses = []
    for leaf in sorted(scores, key=lambda i: -scores[i]):
        path, i = [], leaf
        while i > 0:
            path.append(nodes[i].piece)
            i = nodes[i].parent
        hypotheses.append((leaf, tokenizer.decode(path[::-1])))
    return hypotheses
