"""Pairs of sentences in, links between their words out: what a trained translator attends to."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from translator.alignment.attention import Span, gather, links_of, piece_shares, word_spans
from translator.alignment.links import Gold, Link, LinkScores, diagonal, grow_diagonal, link_scores
from translator.alignment.words import spell, words, words_of
from translator.data.batching import make_batch
from translator.data.sentences import paired_sentences
from translator.engine.runtime import device_of
from translator.errors import DataError, UsageError
from translator.translation.inference import Translator

#: At which step a target word's attention is read: the one that writes it, or the one that reads it.
Reading = Literal["output", "input"]


@dataclass(frozen=True)
class _Side:
    """A text as words and as pieces: ids, at most as many as the model takes, and whose they are."""

    ids: list[int]
    shares: Tensor  # (pieces, words)


class Aligner:
    """Links words of sentences to those of given translations, by teacher forcing."""

    def __init__(
        self,
        translator: Translator,
        *,
        layer: int | None = None,
        reverse: Translator | None = None,
        reading: Reading = "output",
    ):
        """Take a translator over.

        What is read by default was chosen by measurement (docs/alignment.md): on the phrasebook's `val` with
        two layers, and on Multi30k with four.

        Args:
            translator: from the language of the sources to that of the targets.
            layer: the decoder layer whose heads are averaged, 1 being the first. None: those of all layers.
            reverse: a translator of the other direction; what both find is joined by `grow_diagonal`.
            reading: at which step: when the word is written ("output") or when it is read, one later
                ("input": Chen et al. 2020, "Accurate word alignment induction from neural machine
                translation", for deep models).

        Raises:
            UsageError: a model has no such layer, or does not translate the other way.
        """
        self.translator, self.reading, self.layer, self.reverse = translator, reading, layer, None
        self._reads_targets = False
        depth = translator.config.model.n_decoder_layers
        if layer is not None and not 1 <= layer <= depth:
            raise UsageError(f"layer {layer} is none of the model's; its decoder has layers 1 to {depth}")
        self.layers = list(range(1, depth + 1)) if layer is None else [layer]
        if reverse is not None:
            forward, backward = translator.config.data, reverse.config.data
            there = (forward.source_language, forward.target_language)
            if there != (backward.target_language, backward.source_language):
                raise UsageError(
                    f"the reverse model translates {backward.source_language} to {backward.target_language}; "
                    f"give one that translates {there[1]} to {there[0]}"
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
        """Return the links of each pair, sorted; none where a side is blank.

        Sources are read as in translation, through the model's input map, and their words are counted after
        it. In a tokenized one each word goes through it by itself: N words stay N, even where one vanishes.

        Where the translator splits sentences and both sides have as many, they are aligned one by one. A pair
        that is longer than the model takes is cut into as many stretches on either side, at the same
        share of their words, and each is aligned by itself.

        Args:
            sources: texts.
            targets: their translations, as many.
            tokenized: whether the words are those between the spaces of a text, and not `alignment.words`.
            batch_size: pairs read together.

        Raises:
            DataError: there are not as many targets as sources.
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
        """Join links found one way with those of the reverse model; without one they stay as they are."""
        if self.reverse is None:
            return list(links)
        if not tokenized:  # so that both count the same words
            sources = [self.translator.mapped(source) for source in sources]
        back = self.reverse.one_way(targets, sources, tokenized=tokenized, batch_size=batch_size)
        turned = ([(i, j) for j, i in found] for found in back)
        return [grow_diagonal(forward, backward) for forward, backward in zip(links, turned, strict=True)]

    def one_way(
        self, sources: Sequence[str], targets: Sequence[str], *, tokenized: bool = False, batch_size: int = 64
    ) -> list[list[Link]]:
        """Do what `align` does, without the reverse model."""
        if len(sources) != len(targets):
            raise DataError(f"{len(sources)} sources and {len(targets)} targets; give as many")
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size} is below 1")
        links: list[list[Link]] = [[] for _ in sources]
        pairs: list[tuple[_Side, _Side]] = []
        places: list[tuple[int, int, int]] = []  # of each of them: pair, first source word, first target word
        for number, texts in enumerate(zip(sources, targets, strict=True)):
            for source, target, i, j in self._stretches(*texts, tokenized):
                pairs.append((source, target))
                places.append((number, i, j))
        order = sorted(range(len(pairs)), key=lambda n: (len(pairs[n][1].ids), len(pairs[n][0].ids), n))
        for at in range(0, len(order), batch_size):
            rows = order[at : at + batch_size]
            for row, found in zip(rows, self._align_batch([pairs[n] for n in rows]), strict=True):
                number, i0, j0 = places[row]
                links[number] += [(i + i0, j + j0) for i, j in found]
        return [sorted(found) for found in links]

    def n_words(
        self, sources: Sequence[str], targets: Sequence[str], *, tokenized: bool = False
    ) -> list[tuple[int, int]]:
        """Return how many words links count on either side of each pair; see `align`."""
        return [
            (len(self._source(source, tokenized)[0]), len(words_of(target, tokenized=tokenized)))
            for source, target in zip(sources, targets, strict=True)
        ]

    def _source(self, text: str, tokenized: bool) -> tuple[list[str], str]:
        """A source's words, and the text that the model reads: words without letters are empty."""
        mapped = self.translator.mapped
        if tokenized:
            of_text = [mapped(word) for word in words_of(text, tokenized=True)]
            return of_text, spell(of_text, language=self.translator.config.data.source_language)
        given, of_text = words(text), words(mapped(text))
        # What a reverse model reads are targets, and their words are counted as they stand.
        if self._reads_targets and len(given) != len(of_text):
            return given, text
        return of_text, mapped(text)

    def _stretches(
        self, source: str, target: str, tokenized: bool
    ) -> Iterator[tuple[_Side, _Side, int, int]]:
        """What of a pair is aligned together, and how many words on either side come before it."""
        of_source, source = self._source(source, tokenized)
        of_target = words_of(target, tokenized=tokenized)
        if not any(of_source) or not of_target:
            return
        if tokenized:
            target = spell(of_target, language=self.translator.config.data.target_language)
        spans = [word_spans(of_source, source), word_spans(of_target, target)]
        start = (0, 0)
        for ends in self._sentence_ends(source, target):
            until = [bisect_left(of, (end, 0)) for of, end in zip(spans, ends, strict=True)]
            of_sentence = [of[a:b] for of, a, b in zip(spans, start, until, strict=True)]
            if all(of_sentence):
                for first, second, i, j in self._fitting((source, target), of_sentence):
                    yield first, second, start[0] + i, start[1] + j
            start = (until[0], until[1])

    def _sentence_ends(self, source: str, target: str) -> list[tuple[int, int]]:
        """Where, on both sides, the next sentence begins; at the end alone where lines are not split."""
        data, ends = self.translator.config.data, []
        if self.translator.splits_sentences:
            pairs = paired_sentences(source, target, (data.source_language, data.target_language))
            ends = [(of_source[0], of_target[0]) for of_source, of_target in pairs[1:]]
        return [*ends, (len(source), len(target))]

    def _fitting(
        self, texts: tuple[str, str], spans: list[list[Span]]
    ) -> Iterator[tuple[_Side, _Side, int, int]]:
        """Some words of a pair, in as many stretches on both sides that a model takes."""
        most, n = max(map(len, spans)), 1
        while True:
            bounds = [[len(of) * k // n for k in range(n + 1)] for of in spans]
            cut = [
                [self._side(text, of[start:end]) for start, end in pairwise(bound)]
                for text, of, bound in zip(texts, spans, bounds, strict=True)
            ]
            longest = max(len(side.ids) for stretches in cut for side in stretches)
            if longest <= self._limit or n == most:
                break
            n = min(most, n * -(-longest // self._limit))
        for first, second, i, j in zip(*cut, *(bound[:-1] for bound in bounds), strict=True):
            if first.ids and second.ids:
                yield self._shortened(first), self._shortened(second), i, j

    @property
    def _limit(self) -> int:
        return self.translator.config.model.max_length - 1

    def _side(self, text: str, spans: Sequence[Span]) -> _Side:
        """Some words of a text, and what is between them."""
        if not spans:
            return _Side([], torch.zeros(0, 0))
        start, end = spans[0][0], spans[-1][1]
        text = text[start:end]
        tokenizer = self.translator.tokenizer
        ids = tokenizer.encode(text)
        return _Side(
            ids, piece_shares(tokenizer.spans(text, ids), [(a - start, b - start) for a, b in spans])
        )

    def _shortened(self, side: _Side) -> _Side:
        """A single word that is longer than the model takes, by its beginning."""
        return _Side(side.ids[: self._limit], side.shares[: self._limit])

    @torch.inference_mode()
    def _align_batch(self, pairs: Sequence[tuple[_Side, _Side]]) -> list[list[Link]]:
        model = self.translator.model
        batch = make_batch([source.ids for source, _ in pairs], [target.ids for _, target in pairs])
        batch = batch.to(device_of(model))
        _, decoder = model.attention_maps(batch.source_ids, batch.target_in)
        layers = [decoder.cross_attention[layer - 1] for layer in self.layers]  # (B, H, T, S) each
        attention = torch.stack(layers).float().mean((0, 2)).cpu()  # (B, T, S)
        first = (
            1 if self.reading == "input" else 0
        )  # step 0 reads the start symbol and writes the first piece
        links = []
        for (source, target), steps in zip(pairs, attention, strict=True):
            n_source, n_target = len(source.ids), len(target.ids)
            on_pieces, on_end = steps[first : first + n_target, : n_source + 1].split([n_source, 1], dim=1)
            end = gather(on_end, torch.ones(1, 1), target.shares)[:, 0]
            links.append(links_of(gather(on_pieces, source.shares, target.shares), end))
        return links


def evaluate_alignments(
    aligner: Aligner,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    gold: Sequence[Gold],
    tokenized: bool = False,
    batch_size: int = 64,
) -> dict[str, LinkScores]:
    """Score an aligner against the links of people, beside the diagonal.

    Args:
        aligner: with a reverse model, its links with and without it are scored.
        sources: texts.
        targets: their translations.
        gold: their links.
        tokenized: as in `Aligner.align`.
        batch_size: pairs read together.

    Returns:
        Scores of "diagonal", "one_way" and, with a reverse model, "both_ways".

    Raises:
        DataError: there are not as many of each.
    """
    n_words = aligner.n_words(sources, targets, tokenized=tokenized)
    found = {"diagonal": [diagonal(*n) for n in n_words]}
    found["one_way"] = aligner.one_way(sources, targets, tokenized=tokenized, batch_size=batch_size)
    if aligner.reverse is not None:
        found["both_ways"] = aligner.join(
            found["one_way"], sources, targets, tokenized=tokenized, batch_size=batch_size
        )
    return {name: link_scores(links, gold) for name, links in found.items()}
