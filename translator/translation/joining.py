"""Translations of texts, joined from the translations of their parts."""

from collections.abc import Sequence
from dataclasses import dataclass

from translator.data.tokenizer import Tokenizer
from translator.search.result import Result
from translator.search.scoring import normalised
from translator.translation.splitting import Part


@dataclass(frozen=True)
class Candidate:
    """One of the n best translations of a text. Its score is Σ log p / length^α (see `search.scoring`)."""

    text: str
    score: float


@dataclass(frozen=True)
class Translation:
    """A translated text.

    Attributes:
        text: the best translation; empty if the source is blank.
        score: Σ log p / length^α of the best translation; 0 if the source is blank.
        candidates: the n best translations, the first of which is `text`; empty if the source is blank.
        n_parts: number of parts that were translated separately; 0 if the source is blank. A part is a line,
            or a sentence if lines are split into sentences. If a line or a sentence exceeds the model's
            maximum length, it is split into segments, and each segment is a part.
    """

    text: str
    score: float
    candidates: tuple[Candidate, ...]
    n_parts: int


def join_parts(
    parts: Sequence[tuple[Part, Result]], tokenizer: Tokenizer, *, length_penalty: float, n_best: int
) -> Translation:
    """Return the translation of a text. Its k-th candidate joins the k-th hypothesis of every part.

    If a part has fewer than k hypotheses, its last hypothesis is used instead.

    Args:
        parts: all parts of the text in order, each with the result of its search; empty for a blank text.
        tokenizer: the tokenizer of the model.
        length_penalty: α of the scores.
        n_best: maximum number of candidates.
    """
    candidates = []
    most = max((len(result.hypotheses) for _, result in parts), default=0)
    for k in range(min(n_best, most)):
        hypotheses = [result.hypotheses[min(k, len(result.hypotheses) - 1)] for _, result in parts]
        texts = [
            part.separator + tokenizer.decode(h.ids) for (part, _), h in zip(parts, hypotheses, strict=True)
        ]
        length = sum(len(hypothesis.ids) + 1 for hypothesis in hypotheses)
        log_prob = sum(hypothesis.log_prob for hypothesis in hypotheses)
        candidates.append(Candidate("".join(texts), normalised(log_prob, length, length_penalty)))
    if not candidates:
        return Translation("", 0.0, (), 0)
    return Translation(candidates[0].text, candidates[0].score, tuple(candidates), len(parts))
