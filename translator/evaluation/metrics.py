"""Metrics of the translations of a corpus: sacreBLEU's BLEU, chrF and TER, with confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest, Result

from translator.errors import DataError

#: Number of bootstrap resamples for each interval and each paired test. sacreBLEU draws them with its own
#: seed (12345).
N_RESAMPLES = 1000

METRICS: dict[str, type[Metric]] = {"bleu": BLEU, "chrf": CHRF, "ter": TER}


@dataclass(frozen=True)
class Score:
    """A corpus score with its 95 % confidence interval.

    Attributes:
        score: 0 to 100. Higher is better, except that for TER lower is better; TER may exceed 100.
        low: lower end of the interval: the mean of the bootstrap resamples minus half the interval's width.
        high: upper end of the interval: the same mean plus half the width.
        signature: sacreBLEU's signature, which names the settings of the metric and the version of sacreBLEU.
    """

    score: float
    low: float
    high: float
    signature: str


@dataclass(frozen=True)
class Comparison:
    """A paired significance test of two systems on the same sources.

    Attributes:
        score: score of our system.
        other: score of the other system.
        p_value: probability that a difference at least as large arises by chance.
    """

    score: float
    other: float
    p_value: float


def corpus_scores(
    hypotheses: Sequence[str], *references: Sequence[str], metrics: Sequence[str] = tuple(METRICS)
) -> dict[str, Score]:
    """Return BLEU (13a, cased), chrF and TER of detokenized text, each with its 95 % interval.

    Args:
        hypotheses: one translation per line.
        references: one or more sets of human translations, each with as many lines as `hypotheses`.
        metrics: names of the metrics to compute.

    Raises:
        DataError: there is nothing to score, or a set has another number of lines than `hypotheses`. In the
            second case, the message has both numbers.
    """
    _check(hypotheses, references)
    scores = {}
    for name, (signature, [result]) in _bootstrap([hypotheses], references, metrics=metrics).items():
        assert result.mean is not None
        assert result.ci is not None
        mean, half_width = float(result.mean), float(result.ci)
        scores[name] = Score(float(result.score), mean - half_width, mean + half_width, signature)
    return scores


def bleu(hypotheses: Sequence[str], *references: Sequence[str]) -> float:
    """Return only the BLEU score, without an interval; see `corpus_scores` for the arguments."""
    _check(hypotheses, references)
    return float(BLEU().corpus_score(list(hypotheses), [*map(list, references)]).score)


def compare(
    hypotheses: Sequence[str], others: Sequence[str], *references: Sequence[str]
) -> dict[str, Comparison]:
    """Compare two systems on each metric, by paired bootstrap resampling (Koehn 2004).

    Args:
        hypotheses: translations of our system.
        others: translations of the other system.
        references: one or more sets of human translations.

    Raises:
        DataError: there is nothing to score, or the systems and the references do not all have the same
            number of lines.
    """
    _check(hypotheses, references)
    _check(others, references)
    comparisons = {}
    for name, (_, [other, ours]) in _bootstrap([others, hypotheses], references, metrics=[*METRICS]).items():
        assert ours.p_value is not None
        # sacreBLEU counts the resamples whose difference exceeds that of the systems. For equal systems it
        # finds none, so its p-value would be far too small.
        p_value = 1.0 if ours.score == other.score else float(ours.p_value)
        comparisons[name] = Comparison(float(ours.score), float(other.score), p_value)
    return comparisons


def _bootstrap(
    systems: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, metrics: Sequence[str]
) -> dict[str, tuple[str, list[Result]]]:
    """Return for each metric its signature and the scores of all systems. The first system is the baseline.

    This is also used for a single system, because the interval of `Metric.corpus_score` fails in sacreBLEU
    2.6 if a resample matches nothing.
    """
    test = PairedTest(
        [(str(number), list(lines)) for number, lines in enumerate(systems)],
        {name: METRICS[name]() for name in metrics},
        references=[*map(list, references)],
        test_type="bs",
        n_samples=N_RESAMPLES,
    )
    signatures, table = test()
    columns = [column for heading, column in table.items() if heading != "System"]  # in the order of metrics
    return {
        name: (str(signature), [result for result in column if isinstance(result, Result)])
        for name, signature, column in zip(metrics, signatures.values(), columns, strict=True)
    }


def _check(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    for number, lines in enumerate(references, start=1):
        if len(hypotheses) != len(lines):
            which = f" in set {number} of {len(references)}" if len(references) > 1 else ""
            raise DataError(
                f"{len(hypotheses)} translations and {len(lines)} references{which}; line n of one must "
                "belong to line n of the other"
            )
    if not references or not hypotheses:
        raise DataError("nothing to score: the test set has no lines")
