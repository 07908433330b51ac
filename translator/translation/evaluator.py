"""Evaluation of a translator on a test set: scores, a baseline, speed, and robustness to typing noise."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from translator.alignment.links import Gold, LinkScores, diagonal, link_scores
from translator.data.noise import CHANGES
from translator.evaluation.metrics import Score, bleu, corpus_scores, sentence_chrf
from translator.translation.aligner import Aligner
from translator.translation.calibration import CLEARLY_GOOD_CHRF, MIN_CHRF, Report, report
from translator.translation.inference import Translator
from translator.translation.joining import Translation


@dataclass(frozen=True)
class Evaluation:
    """The results of a translator on a test set.

    Attributes:
        hypotheses: the translations, one per line, in the order of the lines.
        scores: the scores against all references, under the keys "bleu", "chrf" and "ter".
        n_references: number of references of each line.
        bleu_first: BLEU against the first reference only. It is None if there is only one reference.
        copy_baseline: BLEU of the untranslated sources.
        n_lines: number of lines. All lines are scored.
        n_split: number of lines that were translated in several parts, such as sentence by sentence.
        seconds: the time that translation took, without the time for loading the model.
        beam_size: beam size of the search.
        precision: precision of the translator.
        by_origin: for each origin (see `evaluate`), BLEU of the lines with this origin. It is empty unless
            the test set has several origins.
        confidence: how well the model's confidence agrees with chrF; None if the model has no calibration.
    """

    hypotheses: list[str]
    scores: dict[str, Score]
    n_references: int
    bleu_first: Score | None
    copy_baseline: float
    n_lines: int
    n_split: int
    seconds: float
    beam_size: int
    precision: str
    by_origin: dict[str, Score]
    confidence: Report | None

    def to_dict(self) -> dict[str, Any]:
        """Return all results except the hypotheses, for JSON."""
        return {
            **{name: asdict(score) for name, score in self.scores.items()},
            "n_references": self.n_references,
            **({"bleu_first_reference": asdict(self.bleu_first)} if self.bleu_first else {}),
            "copy_baseline_bleu": self.copy_baseline,
            "n_lines": self.n_lines,
            "n_lines_split": self.n_split,
            "seconds": self.seconds,
            "sentences_per_second": self.n_lines / self.seconds,
            "beam_size": self.beam_size,
            "precision": self.precision,
            **(
                {"bleu_by_origin": {k: asdict(v) for k, v in self.by_origin.items()}}
                if self.by_origin
                else {}
            ),
            **({"confidence": asdict(self.confidence)} if self.confidence else {}),
        }

    def lines(self, name: str) -> list[str]:
        """Return the results as lines to print: size and speed, scores with 95 % intervals, and the baseline.

        Args:
            name: name of the test set.
        """
        size = f"{self.n_lines:,} lines" + (f", {self.n_references} references" if self.bleu_first else "")
        how = f"beam {self.beam_size}, {self.precision}, {self.n_lines / self.seconds:,.0f} sentences/s"
        if self.n_split:
            how += f", {self.n_split:,} line{'s' if self.n_split > 1 else ''} split"
        rows = list(zip(("BLEU", "chrF", "TER"), self.scores.values(), strict=True))
        if self.bleu_first:
            rows.append(("BLEU", self.bleu_first))
        return [
            f"{name}: {size}, {how}",
            *(
                f"{label:5}{score.score:6.2f}  (95 %: {score.low:.2f} to {score.high:.2f})  {score.signature}"
                for label, score in rows
            ),
            *(
                f"  {origin}: BLEU {score.score:.2f}  (95 %: {score.low:.2f} to {score.high:.2f})"
                for origin, score in self.by_origin.items()
            ),
            f"copying the source: BLEU {self.copy_baseline:.2f}",
            *([_confidence_line(self.confidence)] if self.confidence else []),
        ]


@dataclass(frozen=True)
class UnderChange:
    """BLEU of the translations after one change from `data.noise.CHANGES` was applied to the sources.

    Attributes:
        bleu: BLEU against all references.
        n_changed: number of sources that the change alters.
    """

    bleu: float
    n_changed: int


def evaluate(
    translator: Translator,
    sources: Sequence[str],
    *references: Sequence[str],
    beam_size: int | None = None,
    batch_size: int = 128,
    origins: Sequence[str] | None = None,
) -> Evaluation:
    """Translate a test set and score it.

    Args:
        translator: the translator to evaluate.
        sources: the lines of the test set.
        references: one or more sets of human translations, each with one translation per source.
        beam_size: see `Translator.translate`.
        batch_size: see `Translator.translate`.
        origins: for each line, a label that tells where the line comes from; None if this is unknown. If
            there are several labels, the lines with each label are also scored separately.

    Raises:
        DataError: there are no sources, or the number of translations in a set of references differs from
            the number of sources.
    """
    baseline = bleu(sources, *references)
    started = time.monotonic()
    translations = translator.translate(list(sources), beam_size=beam_size, batch_size=batch_size)
    seconds = time.monotonic() - started
    hypotheses = [translation.text for translation in translations]
    scores = corpus_scores(hypotheses, *references)
    return Evaluation(
        hypotheses,
        scores,
        len(references),
        _bleu_score(hypotheses, references[0]) if len(references) > 1 else None,
        baseline,
        len(hypotheses),
        sum(translation.n_parts > 1 for translation in translations),
        seconds,
        beam_size or translator.config.search.beam_size,
        translator.precision,
        {
            origin: _bleu_score(*(_only(origin, origins, side) for side in (hypotheses, *references)))
            for origin in dict.fromkeys(origins or () if len(set(origins or ())) > 1 else ())
        },
        _confidence(translations, references),
    )


def _confidence_line(found: Report) -> str:
    return (
        f"confidence: calibration error {found.error:.3f}; called a guess: {found.flagged_bad:.0%} of "
        f"{found.n_bad:,} lines with chrF below {MIN_CHRF:g}, {found.flagged_good:.0%} of {found.n_good:,} "
        f"with {CLEARLY_GOOD_CHRF:g} or more"
    )


def _bleu_score(hypotheses: Sequence[str], *references: Sequence[str]) -> Score:
    return corpus_scores(hypotheses, *references, metrics=("bleu",))["bleu"]


def _confidence(translations: Sequence[Translation], references: Sequence[Sequence[str]]) -> Report | None:
    confidences = [translation.confidence for translation in translations]
    if not any(confidences):
        return None
    return report(confidences, sentence_chrf([each.text for each in translations], *references))


def _only(origin: str, origins: Sequence[str] | None, lines: Sequence[str]) -> list[str]:
    return [line for line, of in zip(lines, origins or (), strict=True) if of == origin]


def robustness(
    translator: Translator,
    sources: Sequence[str],
    hypotheses: Sequence[str],
    *references: Sequence[str],
    beam_size: int | None = None,
    batch_size: int = 128,
) -> dict[str, UnderChange]:
    """Apply each change in `data.noise.CHANGES` to all sources, and score the translations.

    Args:
        translator: the translator to evaluate.
        sources: the unchanged lines of the test set.
        hypotheses: the translator's translations of these sources. They are reused for each source that a
            change does not alter.
        references: one or more sets of human translations.
        beam_size: see `Translator.translate`.
        batch_size: see `Translator.translate`.

    Returns:
        For each change, BLEU of the translations, under the name of the change.
    """
    by_source = dict(zip(sources, hypotheses, strict=True))
    changed = {name: [change(source) for source in sources] for name, change in CHANGES.items()}
    new = list(dict.fromkeys(text for texts in changed.values() for text in texts if text not in by_source))
    translations = translator.translate(new, beam_size=beam_size, batch_size=batch_size)
    by_source |= {text: translation.text for text, translation in zip(new, translations, strict=True)}
    return {
        name: UnderChange(
            bleu([by_source[text] for text in texts], *references),
            sum(text != source for text, source in zip(texts, sources, strict=True)),
        )
        for name, texts in changed.items()
    }


def evaluate_alignments(
    aligner: Aligner,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    gold: Sequence[Gold],
    tokenized: bool = False,
    batch_size: int = 64,
) -> dict[str, LinkScores]:
    """Score an aligner and a diagonal baseline against human alignments.

    Args:
        aligner: the aligner to score. If it has a reverse model, it is scored both with and without that
            model.
        sources: texts.
        targets: the translations of the sources, one per source.
        gold: the human alignment of each pair.
        tokenized: as in `Aligner.align`.
        batch_size: number of pairs in a batch.

    Returns:
        The scores under the keys "diagonal" (the baseline), "one_way" (without a reverse model) and, if the
        aligner has a reverse model, "both_ways".

    Raises:
        DataError: the numbers of sources, targets and human alignments differ.
    """
    n_words = aligner.n_words(sources, targets, tokenized=tokenized)
    by_method = {"diagonal": [diagonal(*n) for n in n_words]}
    by_method["one_way"] = aligner.one_way(sources, targets, tokenized=tokenized, batch_size=batch_size)
    if aligner.reverse is not None:
        by_method["both_ways"] = aligner.join(
            by_method["one_way"], sources, targets, tokenized=tokenized, batch_size=batch_size
        )
    return {name: link_scores(links, gold) for name, links in by_method.items()}
