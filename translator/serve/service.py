"""What the service does with text: lines through the batcher, words and their links, other words."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from translator import console
from translator.aligner import Aligner
from translator.inference import Translation, Translator
from translator.serve.alternatives import alternatives, spans
from translator.serve.batcher import Batcher
from translator.serve.limits import Limits, RefusedError
from translator.serve.metrics import Metrics


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
        batch_size: int = 64,
        explain: Callable[[Translator, str, str], str] | None = None,
        log_text: bool = False,
    ):
        """Put a model to work.

        Args:
            translator: the model.
            limits: what a request may ask.
            metrics: where batches and characters are counted.
            batch_size: texts translated together; 1: each by itself.
            explain: `(translator, text, prefix)` → the page that explains a translation; None: there is none.
            log_text: whether texts and translations are printed on stderr.
        """
        self.limits, self.metrics = limits, metrics
        self.source_language = translator.config.data.source_language
        self.target_language = translator.config.data.target_language
        self._translator, self._explain, self._log_text = translator, explain, log_text
        self._aligner = Aligner(translator)
        self.batcher = Batcher(self._compute, batch_size=batch_size, observe=metrics.batches.observe)
        metrics.watch_queue(self.batcher.n_waiting)

    def _compute(self, texts: list[str], n_best: int) -> list[Translation]:
        beam_size = max(n_best, self._translator.config.search.beam_size)
        return self._translator.translate(texts, n_best=n_best, beam_size=beam_size)

    async def translate(self, texts: Sequence[str], *, n_alternatives: int = 0) -> list[Answer]:
        """Translate texts; each of their lines is translated by itself, and blank ones stay blank."""
        lines = [text.split("\n") for text in texts]
        wanted = [line for of_text in lines for line in of_text if line.strip()]
        self.metrics.characters.inc(sum(map(len, wanted)))
        found = iter(await self.batcher.translate(wanted, n_best=n_alternatives + 1))
        answers = []
        for text, of_text in zip(texts, lines, strict=True):
            translated = [next(found) if line.strip() else None for line in of_text]
            versions = dict.fromkeys(_version(translated, k) for k in range(n_alternatives + 1))
            best, *others = versions
            answers.append(Answer(best, others))
            if self._log_text:
                console.note(json.dumps({"source": text, "translation": best}, ensure_ascii=True))
        return answers

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
            linked = await self.batcher.run(
                lambda: self._aligner.align([sources[i] for i in rows], [targets[i] for i in rows])
            )
            for row, of_row in zip(rows, linked, strict=True):
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
        found = await self.batcher.run(lambda: alternatives(self._translator, of_line, line, word=number))
        return [
            {
                "word": other.word,
                "line": other.text,
                "row": row,
                "prefix": other.text[: spans(other.text)[number][1]],
                "text": "\n".join([*targets[:row], other.text, *targets[row + 1 :]]),
                "probability": round(other.probability, 4),
            }
            for other in found
        ]

    async def explanation(self, text: str, prefix: str) -> str:
        """Return the page that explains how a line is translated, its translation beginning with a prefix."""
        explain = self._explain
        if explain is None:
            raise RefusedError(501, "This service explains nothing")
        if "\n" in text.strip():  # each would be translated otherwise than it was
            raise RefusedError(400, "Invalid request: text parameter has several lines; give one")
        return await self.batcher.run(lambda: explain(self._translator, text.strip(), prefix))


def _version(lines: Sequence[Translation | None], k: int) -> str:
    """The k-th best translation of each line, or the last that there is."""
    chosen = []
    for line in lines:
        candidates = line.candidates if line is not None else ()
        chosen.append(candidates[min(k, len(candidates) - 1)].text if candidates else "")
    return "\n".join(chosen)


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
