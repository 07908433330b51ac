"""Translations of texts, joined from the translations of their parts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from translator.alignment.links import Link
from translator.search.result import Result
from translator.search.scoring import normalised
from translator.translation.confidence import Confidence
from translator.translation.picture import to_html
from translator.translation.splitting import Part

if TYPE_CHECKING:
    from translator.translation.inference import Translator
    from translator.translation.words import LinkedWords


@dataclass(frozen=True)
class Candidate:
    """One of the n best translations of a text. Its score is Σ log p / length^α (see `search.scoring`)."""

    text: str
    score: float


@dataclass(frozen=True)
class Word:
    """A word of a translation.

    Attributes:
        text: the word.
        probability: probability of the pieces that start in the word, given the source and all that precedes
            them. The product over all words and the ends of all parts is the probability of the translation.
    """

    text: str
    probability: float


@dataclass(frozen=True)
class Translation:
    """A translated text.

    Besides its attributes, a translation has words and links, which the model computes when the first of them
    is asked for. In a notebook, it shows itself as a picture of them.

    Attributes:
        source: the text that was translated.
        text: the best translation; empty if the source is blank.
        score: Σ log p / length^α of the best translation; 0 if the source is blank.
        candidates: the n best translations, the first of which is `text`; empty if the source is blank.
        n_parts: number of parts that were translated separately; 0 if the source is blank. A part is a line,
            or a sentence if lines are split into sentences. If a line or a sentence exceeds the model's
            maximum length, it is split into segments, and each segment is a part.
        line_log_probs: for each line of the source that is not blank, Σ log p of the tokens of its
            translation, including the end symbols of its parts, and the number of these tokens.
        confidence: how likely the translation is to be good. It is None if the model has no calibration or
            the source is blank.
    """

    source: str
    text: str
    score: float
    candidates: tuple[Candidate, ...]
    n_parts: int
    line_log_probs: tuple[tuple[float, int], ...] = field(default=(), repr=False)
    confidence: Confidence | None = None
    _compute: InitVar["Callable[[], list[LinkedWords]]"] = list

    def __post_init__(self, _compute: "Callable[[], list[LinkedWords]]") -> None:
        self.__dict__["_compute"] = _compute  # no field: it is no part of `repr`, `==` and `asdict`

    @cached_property
    def _parts(self) -> "list[LinkedWords]":
        compute: Callable[[], list[LinkedWords]] = self.__dict__["_compute"]
        return compute()

    @property
    def source_words(self) -> list[str]:
        """The words of the source as the model reads it (docs/input.md)."""
        return [word for part in self._parts for word in part.source]

    @property
    def words(self) -> list[Word]:
        """The words of `text`, with their probabilities."""
        return [word for part in self._parts for word in part.target]

    @property
    def links(self) -> list[Link]:
        """Which word translates which, as pairs of an index in `source_words` and an index in `words`."""
        sources = accumulate((len(part.source) for part in self._parts), initial=0)
        targets = accumulate((len(part.target) for part in self._parts), initial=0)
        firsts = zip(self._parts, sources, targets, strict=False)
        return [(i + source, j + target) for part, source, target in firsts for i, j in part.links]

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled or copied: everything but the model."""
        return {**self.__dict__, "_parts": self._parts, "_compute": list}

    def _repr_html_(self) -> str:
        return to_html(self._parts)


def join_parts(
    sources: Sequence[str],
    parts: Iterable[tuple[Part, Result]],
    translator: "Translator",
    *,
    length_penalty: float,
    n_best: int = 1,
) -> list[Translation]:
    """Return the translation of each text. Its k-th candidate joins the k-th hypothesis of each of its parts.

    If a part has fewer than k hypotheses, its last hypothesis is used instead.

    Args:
        sources: the texts.
        parts: the parts of the texts, those of one text in order, each with the result of its search. A blank
            text has none.
        translator: the translator that searched.
        length_penalty: α of the scores.
        n_best: maximum number of candidates.
    """
    by_text: list[list[tuple[Part, Result]]] = [[] for _ in sources]
    for part, result in parts:
        by_text[part.number].append((part, result))
    return [
        _join(source, of_text, translator, length_penalty=length_penalty, n_best=n_best)
        for source, of_text in zip(sources, by_text, strict=True)
    ]


def _join(
    source: str,
    parts: Sequence[tuple[Part, Result]],
    translator: "Translator",
    *,
    length_penalty: float,
    n_best: int,
) -> Translation:
    decode, candidates = translator.tokenizer.decode, []
    most = max((len(result.hypotheses) for _, result in parts), default=0)
    for k in range(min(n_best, most)):
        hypotheses = [result.hypotheses[min(k, len(result.hypotheses) - 1)] for _, result in parts]
        texts = [part.separator + decode(h.ids) for (part, _), h in zip(parts, hypotheses, strict=True)]
        length = sum(len(hypothesis.ids) + 1 for hypothesis in hypotheses)
        log_prob = sum(hypothesis.log_prob for hypothesis in hypotheses)
        candidates.append(Candidate("".join(texts), normalised(log_prob, length, length_penalty)))
    if not candidates:
        return Translation(source, "", 0.0, (), 0)

    def compute() -> "list[LinkedWords]":
        from translator.translation.words import linked_words  # imports torch

        return linked_words(translator, [(part.text, result.hypotheses[0]) for part, result in parts])

    best = candidates[0]
    line_log_probs = _line_log_probs(parts)
    confidence = translator.confidence(line_log_probs)
    return Translation(
        source, best.text, best.score, tuple(candidates), len(parts), line_log_probs, confidence, compute
    )


def _line_log_probs(parts: Sequence[tuple[Part, Result]]) -> tuple[tuple[float, int], ...]:
    lines: list[tuple[float, int]] = []
    for part, result in parts:
        best = result.hypotheses[0]
        if not lines or "\n" in part.separator:
            lines.append((0.0, 0))
        log_prob, n_tokens = lines[-1]
        lines[-1] = log_prob + best.log_prob, n_tokens + len(best.ids) + 1
    return tuple(lines)
