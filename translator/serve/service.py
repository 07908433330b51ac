"""The model as a service: translation through the batcher, word links, alternatives and explanations."""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from translator import console
from translator.alignment.links import Link
from translator.config import SearchConfig
from translator.search.result import Result
from translator.serve.alternatives import alternatives, spans
from translator.serve.batcher import Batcher, Ids
from translator.serve.limits import Limits, RefusedError
from translator.serve.metrics import Metrics
from translator.translation.confidence import Confidence
from translator.translation.inference import Translator
from translator.translation.joining import Translation, Word, join_parts
from translator.translation.origin import origin
from translator.translation.splitting import Part
from translator.translation.words import given_translation

#: Text that an idle model translates as a health check.
_PROBE = "Bonjour."


@dataclass(frozen=True)
class Answer:
    """The translation of a text.

    Attributes:
        text: the best translation.
        alternatives: other translations, which differ from it and from each other.
        lines: the translation of each line; empty if the text was not translated.
    """

    text: str
    alternatives: list[str]
    lines: Sequence[Translation] = ()

    @property
    def confidence(self) -> Confidence | None:
        """The lowest confidence of a line; None if the model has no calibration or nothing was translated."""
        found = [line.confidence for line in self.lines if line.confidence is not None]
        return min(found, key=lambda confidence: confidence.probability, default=None)


class Service:
    """A model that translates for many clients at the same time."""

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
            metrics: the metrics in which batches, characters and waiting texts are counted.
            batch_tokens: maximum number of tokens in a batch of sentences, as in `Batcher`. With 1, each
                sentence forms a batch alone.
            explain: `(translator, text, prefix) -> HTML page`, the function that explains a translation; None
                if the service offers no explanations.
            log_text: whether texts and their translations are printed to stderr.
        """
        self.limits, self.metrics = limits, metrics
        self.source_language = translator.config.data.source_language
        self.target_language = translator.config.data.target_language
        self.model = origin(translator)
        self._translator, self._explain, self._log_text = translator, explain, log_text
        self.batcher = Batcher(
            self._search,
            batch_tokens=batch_tokens,
            beam_size=translator.config.search.beam_size,
            observe=metrics.batches.observe,
        )
        metrics.watch_queue(self.batcher.n_waiting)
        self._failure: str | None = None  # why the last batch failed; None if it did not

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

    async def health_problem(self) -> str | None:
        """Return what is wrong with the service, or None if nothing is wrong.

        If the model is idle, it is tested with a short text.
        """
        # The time that a batch may take. It is shorter than the timeout of a request.
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
        """Translate each line of each text separately. The translation of a blank line is an empty line."""
        # Texts are tokenized and translations are joined on other threads, one text at a time, so that the
        # event loop is not blocked.
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
        """Join the translated parts of a text into an answer with at most `n_best - 1` alternatives."""
        penalty = self._options(n_best).length_penalty
        translations = join_parts(
            text.split("\n"), results, self._translator, length_penalty=penalty, n_best=n_best
        )
        best, *others = dict.fromkeys(_kth_best(translations, k) for k in range(n_best))
        return Answer(best, others, translations)

    def given(self, source: str, target: str) -> list[Translation]:
        """Return a text and a given translation as translations of lines, whose words can be asked for.

        If source and target differ in number of lines, the list is empty.
        """
        sources, targets = source.split("\n"), target.split("\n")
        if len(sources) != len(targets):
            return []
        return [given_translation(self._translator, s, t) for s, t in zip(sources, targets, strict=True)]

    async def words(self, source: str, target: str, lines: Sequence[Translation]) -> dict[str, Any]:
        """Return the words of a text and of its translation.

        Args:
            source: the text.
            target: the translation of the text.
            lines: the translation of each line, as in `Answer` or from `given`.

        Returns:
            A dictionary with four entries. The entry "source" is the text, normalized as the model reads it,
            and the entry "target" is the translation. Each of the two is a list of pieces in order. A piece
            is `(word, number)` for a word or `(text, None)` for the text between two words. In each of the
            two lists, the words are numbered from 0. The entry "links" is a list of pairs: the number of a
            source word, and the number of a target word that is linked to it. The entry "probabilities" has
            the probability of each target word, given all that precedes it; None if it is unknown.
        """
        sources, targets = [*map(self._translator.mapped, source.split("\n"))], target.split("\n")
        n_source, n_target = ([len(spans(line)) for line in side] for side in (sources, targets))
        links: list[list[int]] = []
        chances: list[float | None] = []
        for i, line in enumerate(lines):
            found = await self.batcher.run(partial(_words_and_links, line))
            # A word so long that it was translated in parts is several words in `line`.
            known = (len(line.source_words), len(found[0])) == (n_source[i], n_target[i])
            offset = sum(n_source[:i]), len(chances)
            links += [[offset[0] + s, offset[1] + t] for s, t in found[1] if known]
            chances += [round(word.probability, 4) for word in found[0]] if known else [None] * n_target[i]
        chances += [None] * (sum(n_target) - len(chances))
        return {
            "source": _pieces("\n".join(sources)),
            "target": _pieces(target),
            "links": links,
            "probabilities": chances,
        }

    async def alternatives(self, source: str, target: str, word: int) -> list[dict[str, Any]]:
        """Return alternatives for one word of a translation.

        Args:
            source: the source text.
            target: the translation of the source text.
            word: number of the word in the translation, counting from 0.

        Returns:
            A dictionary for each alternative. The entries "word" and "probability" are as in `Alternative`.
            The entry "text" is the whole new translation, "line" is the line of it that contains the new
            word, "row" is the index of this line, and "prefix" is this line up to the end of the new word.

        Raises:
            RefusedError: with status 400, if `source` and `target` differ in number of lines, or if the
                translation has no such word.
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
        found = await self.batcher.run(lambda: alternatives(self._translator, source_line, line, word=word))
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
        ]

    async def explanation(self, text: str, prefix: str) -> str:
        """Return an HTML page that explains how the model translates a line.

        Args:
            text: the line to translate.
            prefix: the start of the translation, which the model is forced to use; it may be empty.

        Raises:
            RefusedError: with status 400, if the text has several lines or the prefix is too long; with
                status 501, if the service offers no explanations.
        """
        explain = self._explain
        if explain is None:
            raise RefusedError(501, "This service offers no explanations")
        if "\n" in text.strip():  # unlike `translate`, `explain` does not split a text
            raise RefusedError(400, "Invalid request: text parameter has several lines; give one")
        max_length = self._translator.config.model.max_length
        if len(self._translator.forced(prefix)) + 2 > max_length:
            raise RefusedError(
                400, f"Invalid request: prefix parameter exceeds the model ({max_length} pieces)"
            )
        return await self.batcher.run(lambda: explain(self._translator, text.strip(), prefix))


def _kth_best(lines: Sequence[Translation], k: int) -> str:
    """Join the k-th best translation of every line, where k counts from 0.

    A line that has fewer translations contributes its last translation. A line without translations becomes
    empty.
    """
    n_best = (line.candidates for line in lines)
    return "\n".join(candidates[: k + 1][-1].text if candidates else "" for candidates in n_best)


def _words_and_links(line: Translation) -> tuple[list[Word], list[Link]]:
    """Compute the words of a translation."""
    return line.words, line.links


def _pieces(text: str) -> list[tuple[str, int | None]]:
    """Split a text into words and the texts between them.

    Each word is paired with its number, and each text between words is paired with None.
    """
    pieces: list[tuple[str, int | None]] = []
    last_end = 0
    for number, (start, end) in enumerate(spans(text)):
        pieces += [(text[last_end:start], None), (text[start:end], number)]
        last_end = end
    return [piece for piece in [*pieces, (text[last_end:], None)] if piece[0]]
