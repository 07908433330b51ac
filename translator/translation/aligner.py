"""Word alignment of sentence pairs, from the cross-attention and the embeddings of a trained translator."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from translator.alignment.attention import Span, token_links, token_weights, word_spans
from translator.alignment.links import Link, grow_diagonal
from translator.alignment.words import detokenize, words, words_of
from translator.data.batching import make_batch
from translator.data.sentences import paired_sentences
from translator.engine.runtime import device_of
from translator.errors import DataError, UsageError
from translator.translation.inference import Translator

#: The decoding step whose attention is used for a target token: "output" is the step that predicts the token,
#: and "input" is the next step, which has the token as its input.
Reading = Literal["output", "input"]


@dataclass(frozen=True)
class _Side:
    """The source words or the target words of a pair or of a segment, encoded as tokens.

    Attributes:
        ids: ids of the tokens.
        weights: (tokens, words), for each token and word, the fraction of the token that belongs to the word.
    """

    ids: list[int]
    weights: Tensor

    def truncated(self, n_tokens: int) -> "_Side":
        return _Side(self.ids[:n_tokens], self.weights[:n_tokens])


class Aligner:
    """Links the words of texts to the words of given translations, using teacher forcing."""

    def __init__(
        self,
        translator: Translator,
        *,
        layer: int | None = None,
        reverse: Translator | None = None,
        reading: Reading = "output",
    ):
        """Prepare for alignment with a translator.

        The defaults of `layer` and `reading` were chosen by experiments (docs/alignment.md).

        Args:
            translator: a translator from the language of the sources to the language of the targets.
            layer: number of the decoder layer whose attention heads are averaged, counted from 1. None means
                that the heads of all layers are averaged.
            reverse: a translator in the opposite direction. If it is given, `grow_diagonal` combines the
                links of both directions. If it is None, only the links of `translator` are used.
            reading: the decoding step whose attention is used for a target token (see `Reading`). "input" is
                better for deep models (Chen et al. 2020, "Accurate word alignment induction from neural
                machine translation").

        Raises:
            UsageError: one of the models has no layer with the number `layer`, or `reverse` does not
                translate in the opposite direction.
        """
        self.translator, self.reading, self.reverse = translator, reading, None
        self._reads_targets = False
        #: Maximum number of tokens of a segment. The end symbol is not counted.
        self._limit = translator.config.model.max_length - 1
        depth = translator.config.model.n_decoder_layers
        if layer is not None and not 1 <= layer <= depth:
            raise UsageError(f"layer {layer} does not exist; the model's decoder has layers 1 to {depth}")
        self.layers = list(range(1, depth + 1)) if layer is None else [layer]
        if reverse is not None:
            forward, backward = translator.config.data, reverse.config.data
            languages = (forward.source_language, forward.target_language)
            if languages != (backward.target_language, backward.source_language):
                raise UsageError(
                    f"the reverse model translates {backward.source_language} to {backward.target_language}; "
                    f"give one that translates {languages[1]} to {languages[0]}"
                )
            self.reverse = Aligner(reverse, layer=layer, reading=reading)
            self.reverse._reads_targets = True

    def align(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        tokenized: bool = False,
        batch_size: int = 64,
    ) -> list[list[Link]]:
        """Return the sorted links of each pair. A pair with a blank side has no links.

        As in translation, the model's input map is applied to each source. The word indices of a link refer
        to the mapped source. In a tokenized source, each word is mapped separately, so that the number of
        words never changes. A word can become empty.

        If the translator splits sentences and both sides of a pair have the same number of sentences, then
        each pair of sentences is aligned separately. If one side of a pair exceeds the model's maximum
        length, then both sides are cut into the same number of segments, at the same relative positions, and
        each pair of segments is aligned separately.

        Args:
            sources: texts.
            targets: the translations of the sources, one per source.
            tokenized: whether the texts are tokenized, which means that spaces separate their words. If not,
                `alignment.words` splits the texts into words.
            batch_size: number of pairs in a batch.

        Raises:
            DataError: the numbers of sources and targets differ.
        """
        links = self.one_way(sources, targets, tokenized=tokenized, batch_size=batch_size)
        return self.join(links, sources, targets, tokenized=tokenized, batch_size=batch_size)

    def join(
        self,
        links: Sequence[list[Link]],
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        tokenized: bool = False,
        batch_size: int = 64,
    ) -> list[list[Link]]:
        """Combine the links that `one_way` returned with the links of the reverse model.

        If there is no reverse model, the links are returned unchanged. The other arguments are those of
        `align`.
        """
        if self.reverse is None:
            return list(links)
        if not tokenized:  # because the word indices of links refer to mapped sources
            sources = [self.translator.mapped(source) for source in sources]
        backward = self.reverse.one_way(targets, sources, tokenized=tokenized, batch_size=batch_size)
        return [
            grow_diagonal(forward, [(i, j) for j, i in reverse])
            for forward, reverse in zip(links, backward, strict=True)
        ]

    def one_way(
        self, sources: Sequence[str], targets: Sequence[str], *, tokenized: bool = False, batch_size: int = 64
    ) -> list[list[Link]]:
        """Return only the links of `translator`, uncombined. The arguments are those of `align`."""
        if len(sources) != len(targets):
            raise DataError(f"{len(sources)} sources and {len(targets)} targets; give as many")
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size} is below 1")
        links: list[list[Link]] = [[] for _ in sources]
        pairs: list[tuple[_Side, _Side]] = []
        offsets: list[tuple[int, int, int]] = []  # (pair, first source word, first target word)
        for number, texts in enumerate(zip(sources, targets, strict=True)):
            for source, target, i, j in self._segments(*texts, tokenized):
                pairs.append((source, target))
                offsets.append((number, i, j))
        order = sorted(range(len(pairs)), key=lambda n: (len(pairs[n][1].ids), len(pairs[n][0].ids), n))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            for row, segment in zip(rows, self._align_batch([pairs[n] for n in rows]), strict=True):
                number, i0, j0 = offsets[row]
                links[number] += [(i + i0, j + j0) for i, j in segment]
        return [*map(sorted, links)]

    def n_words(
        self, sources: Sequence[str], targets: Sequence[str], *, tokenized: bool = False
    ) -> list[tuple[int, int]]:
        """Return the numbers of source and target words of each pair. The arguments are those of `align`."""
        return [
            (len(self._source(source, tokenized)[0]), len(words_of(target, tokenized=tokenized)))
            for source, target in zip(sources, targets, strict=True)
        ]

    def _source(self, text: str, tokenized: bool) -> tuple[list[str], str]:
        """Return the words of a source, some of which may be empty, and the text that the model reads."""
        mapped = self.translator.mapped
        if tokenized:
            mapped_words = [mapped(word) for word in words_of(text, tokenized=True)]
            return mapped_words, detokenize(
                mapped_words, language=self.translator.config.data.source_language
            )
        unmapped_words, mapped_words = words(text), words(mapped(text))
        # The sources of a reverse model are the targets of `align`. The target indices of links refer to the
        # words of the unmapped target. A target is therefore left unmapped if mapping it would change its
        # number of words.
        if self._reads_targets and len(unmapped_words) != len(mapped_words):
            return unmapped_words, text
        return mapped_words, mapped(text)

    def _segments(self, source: str, target: str, tokenized: bool) -> Iterator[tuple[_Side, _Side, int, int]]:
        """Yield the segments of a pair.

        Yields:
            The source and the target of the segment, the number of source words before the segment, and the
            number of target words before the segment.
        """
        source_words, source = self._source(source, tokenized)
        target_words = words_of(target, tokenized=tokenized)
        if not any(source_words) or not target_words:
            return
        if tokenized:
            target = detokenize(target_words, language=self.translator.config.data.target_language)
        spans = [word_spans(source_words, source), word_spans(target_words, target)]
        starts = [0, 0]
        for ends in self._sentence_ends(source, target):
            stops = [bisect_left(side, (end, 0)) for side, end in zip(spans, ends, strict=True)]
            sentence = [side[a:b] for side, a, b in zip(spans, starts, stops, strict=True)]
            if all(sentence):
                for first, second, i, j in self._fitting((source, target), sentence):
                    yield first, second, starts[0] + i, starts[1] + j
            starts = stops

    def _sentence_ends(self, source: str, target: str) -> list[tuple[int, int]]:
        """Return, for each pair of sentences, its end in the source and its end in the target.

        If the texts are not split into sentences, they count as one pair of sentences.
        """
        data, ends = self.translator.config.data, []
        if self.translator.splits_sentences:
            pairs = paired_sentences(source, target, (data.source_language, data.target_language))
            ends = [(source_start, target_start) for (source_start, _), (target_start, _) in pairs[1:]]
        return [*ends, (len(source), len(target))]

    def _fitting(
        self, texts: tuple[str, str], spans: list[list[Span]]
    ) -> Iterator[tuple[_Side, _Side, int, int]]:
        """Group the words of each side of a pair into segments that are at most `_limit` tokens long.

        Both sides are cut into the same number of segments. A word that alone exceeds the limit is truncated.

        Args:
            texts: source and target.
            spans: for each side, the spans of its words.

        Yields:
            For each segment, the same four values as `_segments`.
        """
        max_segments, n = max(map(len, spans)), 1
        while True:
            bounds = [[len(side) * k // n for k in range(n + 1)] for side in spans]
            segments = [
                [self._side(text, side[start:end]) for start, end in pairwise(bound)]
                for text, side, bound in zip(texts, spans, bounds, strict=True)
            ]
            longest = max(len(segment.ids) for side in segments for segment in side)
            if longest <= self._limit or n == max_segments:
                break
            n = min(max_segments, n * -(-longest // self._limit))
        for source, target, i, j in zip(*segments, *(bound[:-1] for bound in bounds), strict=True):
            if source.ids and target.ids:
                yield source.truncated(self._limit), target.truncated(self._limit), i, j

    def _side(self, text: str, spans: Sequence[Span]) -> _Side:
        """Encode the words at the given spans of a text. The words must be consecutive."""
        if not spans:
            return _Side([], torch.zeros(0, 0))
        tokenizer, offset = self.translator.tokenizer, spans[0][0]
        ids = tokenizer.encode(text[offset : spans[-1][1]])
        words = [(start - offset, end - offset) for start, end in spans]
        return _Side(ids, token_weights(tokenizer.spans(ids), words))

    @torch.inference_mode()
    def _align_batch(self, pairs: Sequence[tuple[_Side, _Side]]) -> list[list[Link]]:
        model = self.translator.model
        batch = make_batch([source.ids for source, _ in pairs], [target.ids for _, target in pairs])
        batch = batch.to(device_of(model))
        _, decoder = model.attention_maps(batch.source_ids, batch.target_in)
        layers = [decoder.cross_attention[layer - 1] for layer in self.layers]  # (B, H, T, S) each
        attention = torch.stack(layers).float().mean((0, 2)).cpu()  # (B, T, S)
        first = int(self.reading == "input")  # step 0 reads the start symbol and predicts token 0
        of_sources, of_targets = (
            model.embedding(ids).float().cpu() for ids in (batch.source_ids, batch.target_in)
        )
        links = []
        for row, (source, target) in enumerate(pairs):
            n_source, n_target = len(source.ids), len(target.ids)
            steps = attention[row, first : first + n_target, : n_source + 1]
            embeddings = of_sources[row, :n_source], of_targets[row, 1 : 1 + n_target]  # without BOS
            links.append(token_links(steps, embeddings, (source.weights, target.weights)))
        return links
