"""Scores of the translations of a corpus: BLEU, chrF and TER with confidence intervals, from sacreBLEU."""

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest, Result

from translator.errors import DataError

#: Number of bootstrap resamples for each confidence interval and each paired test. sacreBLEU draws them with
#: the seed that it uses by default (12345).
N_RESAMPLES = 1000

METRICS: dict[str, type[Metric]] = {"bleu": BLEU, "chrf": CHRF, "ter": TER}


@dataclass(frozen=True)
class Score:
    """A corpus score with its 95 % confidence interval.

    Attributes:
        score: the score, from 0 to 100; only TER may exceed 100. For BLEU and chrF, higher is better. For
            TER, lower is better.
        low: lower end of the interval: the mean score of the bootstrap resamples minus half the width of
            the interval.
        high: upper end of the interval: the same mean plus half the width.
        signature: a string in which sacreBLEU records the settings of the metric and its own version.
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
        p_value: estimate of the probability that two equally good systems differ at least as much by chance.
    """

    score: float
    other: float
    p_value: float


def corpus_scores(
    hypotheses: Sequence[str], *references: Sequence[str], metrics: Sequence[str] = tuple(METRICS)
) -> dict[str, Score]:
    """Return the scores of detokenized translations: BLEU (tokenization 13a, cased), chrF and TER.

    Args:
        hypotheses: the translations, one for each line of the corpus.
        references: one or more sets of human translations. Each set has as many lines as `hypotheses`.
        metrics: names of the metrics to compute.

    Raises:
        DataError: there is nothing to score, or the number of lines in a set differs from that in
            `hypotheses`. In the second case, the message contains both numbers.
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
    """Return the BLEU score without a confidence interval; see `corpus_scores` for the arguments."""
    _check(hypotheses, references)
    return float(BLEU().corpus_score(list(hypotheses), [*map(list, references)]).score)


def sentence_chrf(hypotheses: Sequence[str], *references: Sequence[str]) -> list[float]:
    """Return the chrF score of each line, against that of its references with which it is highest."""
    _check(hypotheses, references)
    metric = CHRF()
    return [
        float(metric.sentence_score(hypothesis, list(of_line)).score)
        for hypothesis, *of_line in zip(hypotheses, *references, strict=True)
    ]


def compare(
    hypotheses: Sequence[str], others: Sequence[str], *references: Sequence[str]
) -> dict[str, Comparison]:
    """Compare two systems by each metric, with a paired bootstrap test (Koehn 2004).

    Args:
        hypotheses: translations of our system.
        others: translations of the other system.
        references: one or more sets of human translations.

    Raises:
        DataError: there is nothing to score, or `hypotheses`, `others` and the sets in `references` do not
            all have the same number of lines.
    """
    _check(hypotheses, references)
    _check(others, references)
    comparisons = {}
    for name, (_, [other, ours]) in _bootstrap([others, hypotheses], references, metrics=[*METRICS]).items():
        assert ours.p_value is not None
        # For equal scores, sacreBLEU's p-value is not used, because it can be far too small: sacreBLEU counts
        # the resamples whose score difference exceeds that of the whole corpus, and for two identical systems
        # there are none.
        p_value = 1.0 if ours.score == other.score else float(ours.p_value)
        comparisons[name] = Comparison(float(ours.score), float(other.score), p_value)
    return comparisons


def _bootstrap(
    systems: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, metrics: Sequence[str]
) -> dict[str, tuple[str, list[Result]]]:
    """Return for each metric its signature and the scores of all systems. The first system is the baseline.

    The paired test of sacreBLEU is used even if there is only one system. The alternative, to let
    `Metric.corpus_score` compute the interval, fails in sacreBLEU 2.6 if a resample has no matches.
    """
    test = PairedTest(
        [(str(number), list(lines)) for number, lines in enumerate(systems)],
        {name: METRICS[name]() for name in metrics},
        references=[*map(list, references)],
        test_type="bs",
        n_samples=N_RESAMPLES,
    )
    signatures, table = test()
    columns = [column for heading, column in table.items() if heading != "System"]  # in order of `metrics`
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
