"""The model as a service: translation through the batcher, word links, alternatives and explanations."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from translator import console
from translator.config import SearchConfig
from translator.search import Result
from translator.serve.alternatives import Alternative, alternatives, spans
from translator.serve.batcher import Batcher, Ids
from translator.serve.limits import Limits, RefusedError
from translator.serve.metrics import Metrics
from translator.translation.aligner import Aligner
from translator.translation.inference import Translator
from translator.translation.joining import Translation
from translator.translation.splitting import Part

#: Maximum number of characters, in source and target together, of a batch of lines that are aligned. A longer
#: line forms a batch alone.
_LINKED_CHARACTERS = 300

#: Text that an idle model translates as a health check.
_PROBE = "Bonjour."


@dataclass(frozen=True)
class Answer:
    """A translated text: the best translation, and alternatives that differ from it and from each other."""

    text: str
    alternatives: list[str]


class Service:
    """A model that serves many clients."""

    def __init__(
        self,
        translator: Translator,
        *,
        limits: Limits,
        metrics: Metrics,
        batch_tokens: int = 500,
        explain: Callable[[Translator, str, str], str] | None = None,
        log_text: bool = False,
    ):
        """Create a service.

        Args:
            translator: the model.
            limits: limits on requests.
            metrics: counters for batches and characters.
            batch_tokens: maximum tokens per batch of sentences; 1 translates each sentence separately.
            explain: `(translator, text, prefix) -> HTML page`; None if the service offers no explanations.
            log_text: whether to print texts and translations on stderr.
        """
        self.limits, self.metrics = limits, metrics
        self.source_language = translator.config.data.source_language
        self.target_language = translator.config.data.target_language
        self._translator, self._explain, self._log_text = translator, explain, log_text
        self._aligner = Aligner(translator)
        self.batcher = Batcher(
            self._search,
            batch_tokens=batch_tokens,
            beam_size=translator.config.search.beam_size,
            observe=metrics.batches.observe,
        )
        metrics.watch_queue(self.batcher.n_waiting)
        self._failure: str | None = None  # error of the last batch, if it failed

    def _options(self, n_best: int) -> SearchConfig:
        beam_size = max(n_best, self._translator.config.search.beam_size)
        return self._translator.options(beam_size, n_best=n_best)

    def _search(self, parts: list[Ids], n_best: int) -> list[Result]:
        try:
            results = self._translator.search(parts, self._options(n_best), n_best=n_best)
        except Exception as error:
            self._failure = f"The model fails: {type(error).__name__}"
            raise
        finite = (r.hypotheses and all(math.isfinite(h.score) for h in r.hypotheses) for r in results)
        if not all(finite):
            self._failure = "The model computes scores that are not finite"
            raise RefusedError(503, self._failure)
        self._failure = None
        return results

    async def trouble(self) -> str | None:
        """Return what is wrong with the service, or None. An idle model is tested with a short text."""
        # The timeout is for one batch. It expires before the requests of that batch time out.
        timeout = self.limits.request_seconds / 2
        if self.batcher.has_ended:
            return "The batcher has stopped"
        if not self.batcher.is_working:
            try:
                async with asyncio.timeout(timeout):
                    await self.batcher.search([ids for _, ids in self._translator.cut([_PROBE])])
            except TimeoutError:
                return f"The model has not answered for {timeout:g} seconds"
            except Exception:
                return self._failure
        if self.batcher.seconds_busy() > timeout:
            return f"The model has not answered for {timeout:g} seconds"
        return self._failure

    async def translate(self, texts: Sequence[str], *, n_alternatives: int = 0) -> list[Answer]:
        """Translate texts line by line; blank lines stay blank."""
        # Tokenizing and joining run in threads, one text at a time, so that they do not block the event loop.
        cut = partial(self._translator.cut, sentences=n_alternatives == 0)
        parts = [await asyncio.to_thread(cut, text.split("\n")) for text in texts]
        self.metrics.characters.inc(sum(map(len, texts)))
        ids = [part_ids for text_parts in parts for _, part_ids in text_parts]
        results = iter(await self.batcher.search(ids, n_best=n_alternatives + 1))
        answers = []
        for text, text_parts in zip(texts, parts, strict=True):
            translated = [(part, next(results)) for part, _ in text_parts]
            answers.append(await asyncio.to_thread(self._answer, text, translated, n_alternatives + 1))
            if self._log_text:
                translation = answers[-1].text
                console.log(json.dumps({"source": text, "translation": translation}, ensure_ascii=True))
        return answers

    def _answer(self, text: str, results: list[tuple[Part, Result]], n_best: int) -> Answer:
        """Join the translated parts of a text into an answer with up to `n_best` translations."""
        by_line: list[list[tuple[Part, Result]]] = [[] for _ in text.split("\n")]
        for part, result in results:
            by_line[part.number].append((part, result))
        options = self._options(n_best)
        lines = [self._translator.joined(parts, options, n_best=n_best) for parts in by_line]
        best, *others = dict.fromkeys(_kth_best(lines, k) for k in range(n_best))
        return Answer(best, others)

    async def words(self, source: str, target: str) -> dict[str, Any]:
        """Split a text and its translation into words, and align them line by line.

        Returns:
            `source` and `target`: the text (normalized as the model reads it) and its translation, each as a
            list of pieces in order. A piece is `[word, number]`, or `[text, null]` for text between words.
            `links`: a list of pairs `[number of a source word, number of a target word]`.
        """
        sources = [self._translator.mapped(line) for line in source.split("\n")]
        targets = target.split("\n")
        links: list[list[int]] = []
        n_source = n_target = 0  # number of words in the preceding lines
        for i, line_links in enumerate(await self._align(sources, targets)):
            links += [[n_source + s, n_target + t] for s, t in sorted(line_links)]
            n_source += len(spans(sources[i]))
            n_target += len(spans(targets[i]))
        return {"source": _pieces("\n".join(sources)), "target": _pieces(target), "links": links}

    async def _align(self, sources: list[str], targets: list[str]) -> list[list[tuple[int, int]]]:
        """Return the links of each line, or an empty list if the texts have different numbers of lines."""
        if len(sources) != len(targets):
            return []
        links: list[list[tuple[int, int]]] = [[] for _ in sources]
        rows = [i for i, pair in enumerate(zip(sources, targets, strict=True)) if all(map(str.strip, pair))]
        for batch in _batches(rows, [len(sources[i]) + len(targets[i]) for i in rows]):
            aligned = await self.batcher.run(
                partial(self._aligner.align, [sources[i] for i in batch], [targets[i] for i in batch])
            )
            for i, line_links in zip(batch, aligned, strict=True):
                links[i] = line_links
        return links

    async def alternatives(self, source: str, target: str, word: int) -> list[dict[str, Any]]:
        """Return alternatives for one word of a translation.

        Returns:
            For each alternative: `word` and its `probability`, `text` (the new translation), `line` (its
            changed line), `row` (the index of that line) and `prefix` (the line up to the end of the word).

        Raises:
            RefusedError: 400 if the texts have different numbers of lines, or the word does not exist.
        """
        sources, targets = source.split("\n"), target.split("\n")
        if len(sources) != len(targets):
            raise RefusedError(400, "Invalid request: text and translation differ in their number of lines")
        for row, line in enumerate(targets):
            n_words = len(spans(line))
            if 0 <= word < n_words:
                source_line = sources[row]
                break
            word -= n_words
        else:
            raise RefusedError(400, "Invalid request: the translation has no such word")
        searches = alternatives(self._translator, source_line, line, word=word)
        found: list[Alternative | None] = []
        while step := await self.batcher.run(lambda: list(islice(searches, 1))):
            found += step
        return [
            {
                "word": new.word,
                "line": new.text,
                "row": row,
                "prefix": new.text[: spans(new.text)[word][1]],
                "text": "\n".join([*targets[:row], new.text, *targets[row + 1 :]]),
                "probability": round(new.probability, 4),
            }
            for new in found
            if new is not None
        ]

    async def explanation(self, text: str, prefix: str) -> str:
        """Return a page that explains how a line is translated if the translation starts with the prefix.

        Raises:
            RefusedError: 400 if the text has several lines or the prefix is too long; 501 if the service
                offers no explanations.
        """
        explain = self._explain
        if explain is None:
            raise RefusedError(501, "This service offers no explanations")
        if "\n" in text.strip():  # `translate` translates lines separately, but `explain` would not
            raise RefusedError(400, "Invalid request: text parameter has several lines; give one")
        max_length = self._translator.config.model.max_length
        if len(self._translator.forced(prefix)) + 2 > max_length:
            raise RefusedError(
                400, f"Invalid request: prefix parameter exceeds the model ({max_length} pieces)"
            )
        return await self.batcher.run(lambda: explain(self._translator, text.strip(), prefix))


def _kth_best(lines: Sequence[Translation], k: int) -> str:
    """Join the k-th best translations of all lines, counting from 0.

    A line with fewer translations contributes its last one.
    """
    n_best = (line.candidates for line in lines)
    return "\n".join(candidates[: k + 1][-1].text if candidates else "" for candidates in n_best)


def _batches(rows: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group consecutive rows into batches of up to `_LINKED_CHARACTERS`. A longer row forms a batch alone."""
    batch: list[int] = []
    n_characters = 0
    for row, length in zip(rows, lengths, strict=True):
        if batch and n_characters + length > _LINKED_CHARACTERS:
            yield batch
            batch, n_characters = [], 0
        batch.append(row)
        n_characters += length
    if batch:
        yield batch


def _pieces(text: str) -> list[tuple[str, int | None]]:
    """Split a text into its words, each with its number, and the texts between words, each with None."""
    pieces: list[tuple[str, int | None]] = []
    last_end = 0
    for number, (start, end) in enumerate(spans(text)):
        pieces += [(text[last_end:start], None), (text[start:end], number)]
        last_end = end
    return [piece for piece in [*pieces, (text[last_end:], None)] if piece[0]]
