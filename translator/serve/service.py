"""What the service does with text: lines through the batcher, words and their links, other words."""

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

#: Characters of lines, at most, whose words are linked together: a slice of the work, or one line.
_LINKED_CHARACTERS = 300

#: What a model that has nothing to do is tried with, to know its health.
_TRIAL = "Bonjour."


@dataclass(frozen=True)
class Answer:
    """A translated text: the best translation, and others that differ from it and from each other."""

    text: str
    alternatives: list[str]


class Service:
    """A model at work for many callers."""

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
        """Put a model to work.

        Args:
            translator: the model.
            limits: what a request may ask.
            metrics: where batches and characters are counted.
            batch_tokens: tokens of the sentences that are translated together; 1: each by itself.
            explain: `(translator, text, prefix)` → the page that explains a translation; None: there is none.
            log_text: whether texts and translations are printed on stderr.
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
        self._failure: str | None = None  # of the last batch

    def _options(self, n_best: int) -> SearchConfig:
        beam_size = max(n_best, self._translator.config.search.beam_size)
        return self._translator.options(beam_size, n_best=n_best)

    def _search(self, parts: list[Ids], n_best: int) -> list[Result]:
        try:
            found = self._translator.search(parts, self._options(n_best), n_best=n_best)
        except Exception as error:
            self._failure = f"The model fails: {type(error).__name__}"
            raise
        hypotheses = [result.hypotheses for result in found]
        if not all(of_one and all(math.isfinite(one.score) for one in of_one) for of_one in hypotheses):
            self._failure = "The model gives numbers that are not finite"
            raise RefusedError(503, self._failure)
        self._failure = None
        return found

    async def trouble(self) -> str | None:
        """Return why texts are not translated as they should be, or None; a model at rest is tried."""
        most = self.limits.request_seconds / 2  # of a slice; whoever waits for it is not given up by then
        if self.batcher.has_ended:
            return "Nothing is translated any more"
        if not self.batcher.is_working:
            try:
                async with asyncio.timeout(most):
                    await self.batcher.search([ids for _, ids in self._translator.cut([_TRIAL])])
            except TimeoutError:
                return f"The model has not answered for {most:g} seconds"
            except Exception:
                return self._failure
        if self.batcher.seconds_busy() > most:
            return f"The model has not answered for {most:g} seconds"
        return self._failure

    async def translate(self, texts: Sequence[str], *, n_alternatives: int = 0) -> list[Answer]:
        """Translate texts; each of their lines is translated by itself, and blank ones stay blank."""
        # Cutting and joining keep the event loop waiting no longer than one text takes, nor this does.
        cut = partial(self._translator.cut, sentences=n_alternatives == 0)
        parts = [await asyncio.to_thread(cut, text.split("\n")) for text in texts]
        self.metrics.characters.inc(sum(map(len, texts)))
        ids = [of_part for of_text in parts for _, of_part in of_text]
        results = iter(await self.batcher.search(ids, n_best=n_alternatives + 1))
        answers = []
        for text, of_text in zip(texts, parts, strict=True):
            found = [(part, next(results)) for part, _ in of_text]
            answers.append(await asyncio.to_thread(self._answer, text, found, n_alternatives + 1))
            if self._log_text:
                translation = answers[-1].text
                console.log(json.dumps({"source": text, "translation": translation}, ensure_ascii=True))
        return answers

    def _answer(self, text: str, found: list[tuple[Part, Result]], n_best: int) -> Answer:
        """A text's translation out of what was found for the parts of its lines."""
        by_line: list[list[tuple[Part, Result]]] = [[] for _ in text.split("\n")]
        for part, result in found:
            by_line[part.number].append((part, result))
        lines = [self._translator.joined(found, self._options(n_best), n_best=n_best) for found in by_line]
        best, *others = dict.fromkeys(_version(lines, k) for k in range(n_best))
        return Answer(best, others)

    async def words(self, source: str, target: str) -> dict[str, Any]:
        """Return two texts in words and which go together, line by line.

        Returns:
            `source`, as the model reads it, and `target`: the text in order, as `[piece, number]` for a word
            and `[piece, null]` for what stands between words. `links`: pairs of numbers.
        """
        # As they are counted: in what the model reads.
        sources = [self._translator.mapped(line) for line in source.split("\n")]
        targets = target.split("\n")
        found: list[list[tuple[int, int]]] = [[] for _ in sources]
        if len(sources) == len(targets):
            rows = [
                i for i, (a, b) in enumerate(zip(sources, targets, strict=True)) if a.strip() and b.strip()
            ]
            for some in _slices(rows, [len(sources[row]) + len(targets[row]) for row in rows]):
                linked = await self.batcher.run(
                    partial(self._aligner.align, [sources[i] for i in some], [targets[i] for i in some])
                )
                for row, of_row in zip(some, linked, strict=True):
                    found[row] = of_row
        links: list[list[int]] = []
        before = (0, 0)
        for row, of_row in enumerate(found):
            links += [[before[0] + i, before[1] + j] for i, j in sorted(of_row)]
            n_targets = len(spans(targets[row])) if row < len(targets) else 0
            before = (before[0] + len(spans(sources[row])), before[1] + n_targets)
        return {"source": _pieces("\n".join(sources)), "target": _pieces(target), "links": links}

    async def other_words(self, source: str, target: str, word: int) -> list[dict[str, Any]]:
        """Return other words for one word of a translation, each with the text that it leads to.

        Returns:
            Of each: the word and its probability, the whole text, the line in it that is another, the line's
            number, and the line's beginning up to the end of the word.

        Raises:
            RefusedError: 400 where the texts have not as many lines, or no such word.
        """
        sources, targets = source.split("\n"), target.split("\n")
        if len(sources) != len(targets):
            raise RefusedError(400, "Invalid request: text and translation have not as many lines")
        for row, line in enumerate(targets):
            n_words = len(spans(line))
            if 0 <= word < n_words:
                of_line, number = sources[row], word
                break
            word -= n_words
        else:
            raise RefusedError(400, "Invalid request: the translation has no such word")
        steps = alternatives(self._translator, of_line, line, word=number)
        tried: list[Alternative | None] = []
        while step := await self.batcher.run(lambda: list(islice(steps, 1))):
            tried += step
        return [
            {
                "word": other.word,
                "line": other.text,
                "row": row,
                "prefix": other.text[: spans(other.text)[number][1]],
                "text": "\n".join([*targets[:row], other.text, *targets[row + 1 :]]),
                "probability": round(other.probability, 4),
            }
            for other in tried
            if other is not None
        ]

    async def explanation(self, text: str, prefix: str) -> str:
        """Return the page that explains how a line is translated, its translation beginning with a prefix."""
        explain = self._explain
        if explain is None:
            raise RefusedError(501, "This service explains nothing")
        if "\n" in text.strip():  # each would be translated otherwise than it was
            raise RefusedError(400, "Invalid request: text parameter has several lines; give one")
        most = self._translator.config.model.max_length
        if len(self._translator.forced(prefix)) + 2 > most:
            raise RefusedError(
                400, f"Invalid request: prefix parameter is longer than the model takes ({most})"
            )
        return await self.batcher.run(lambda: explain(self._translator, text.strip(), prefix))


def _version(lines: Sequence[Translation], k: int) -> str:
    """The k-th best translation of each line, or the last that there is."""
    each = (line.candidates for line in lines)
    return "\n".join(found[min(k, len(found) - 1)].text if found else "" for found in each)


def _slices(rows: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows in order, as many together as have few characters."""
    together: list[int] = []
    n_characters = 0
    for row, length in zip(rows, lengths, strict=True):
        if together and n_characters + length > _LINKED_CHARACTERS:
            yield together
            together, n_characters = [], 0
        together.append(row)
        n_characters += length
    if together:
        yield together


def _pieces(text: str) -> list[tuple[str, int | None]]:
    """A text as words, with their numbers, and what stands between them."""
    found: list[tuple[str, int | None]] = []
    at = 0
    for number, (start, end) in enumerate(spans(text)):
        if at < start:
            found.append((text[at:start], None))
        found.append((text[start:end], number))
        at = end
    return [*found, (text[at:], None)] if at < len(text) else found
