"""A test set through a translator: hypotheses, scores, a baseline and the speed."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from translator.evaluation import Score, corpus_scores
from translator.inference import Translator


@dataclass(frozen=True)
class Evaluation:
    """What a test set says about a translator.

    Attributes:
        hypotheses: one translation a line, in order.
        scores: bleu, chrf and ter.
        copy_baseline: BLEU of handing the source back untranslated.
        n_lines: lines of the test set, all of them scored.
        seconds: spent translating, loading left out.
        beam_size: of the search.
        precision: of the translator.
    """

    hypotheses: list[str]
    scores: dict[str, Score]
    copy_baseline: float
    n_lines: int
    seconds: float
    beam_size: int
    precision: str

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the hypotheses, for JSON."""
        return {
            **{name: asdict(score) for name, score in self.scores.items()},
            "copy_baseline_bleu": self.copy_baseline,
            "n_lines": self.n_lines,
            "seconds": self.seconds,
            "sentences_per_second": self.n_lines / self.seconds,
            "beam_size": self.beam_size,
            "precision": self.precision,
        }

    def lines(self, name: str) -> list[str]:
        """Return what to print: size and speed, each score with interval and signature, the baseline."""
        how = f"beam {self.beam_size}, {self.precision}, {self.n_lines / self.seconds:,.0f} sentences/s"
        return [
            f"{name}: {self.n_lines:,} lines, {how}",
            *(
                f"{label:5}{score.score:6.2f}  (95 %: {score.low:.2f} to {score.high:.2f})  {score.signature}"
                for label, score in zip(("BLEU", "chrF", "TER"), self.scores.values(), strict=True)
            ),
            f"copying the source: BLEU {self.copy_baseline:.2f}",
        ]


def evaluate(
    translator: Translator,
    sources: Sequence[str],
    references: Sequence[str],
    *,
    beam_size: int | None = None,
    batch_size: int = 128,
) -> Evaluation:
    """Translate every line and score it against its reference.

    Raises:
        DataError: there are no lines, or not as many references as sources.
    """
    baseline = corpus_scores(sources, references)["bleu"].score
    started = time.monotonic()
    translations = translator.translate(sources, beam_size=beam_size, batch_size=batch_size)
    seconds = time.monotonic() - started
    hypotheses = [translation.text for translation in translations]
    return Evaluation(
        hypotheses,
        corpus_scores(hypotheses, references),
        baseline,
        len(hypotheses),
        seconds,
        beam_size or translator.config.search.beam_size,
        translator.precision,
    )
