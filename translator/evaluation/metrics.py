"""How good translations are: sacreBLEU's scores with signature and interval. Its only importer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest, Result

from translator.errors import DataError

#: Resamples behind each interval and paired test; sacreBLEU's own seed (12345) draws them.
N_RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """A corpus score.

    Attributes:
        score: 0 to 100 (TER may exceed it, and is better lower).
        low: bootstrap mean minus its 95 % half-width.
        high: bootstrap mean plus its 95 % half-width.
        signature: what was computed, and by which version.
    """

    score: float
    low: float
    high: float
    signature: str


@dataclass(frozen=True)
class Comparison:
    """A paired test of two systems on the same source.

    Attributes:
        score: of ours.
        other: of the system compared with.
        p_value: of ours against the other's.
    """

    score: float
    other: float
    p_value: float


def _metrics() -> dict[str, Metric]:
    metrics: dict[str, Metric] = {"bleu": BLEU(), "chrf": CHRF(), "ter": TER()}
    for metric in metrics.values():
        _give_plain_floats(metric)
    return metrics


def _give_plain_floats(metric: Metric) -> None:
    """Make all scores Python floats: the interval of sacreBLEU 2.6 fails where NumPy's are among them."""
    compute = metric._compute_score_from_stats

    def compute_plain(stats: list[int | float]) -> Any:
        result = compute(stats)
        result.score = float(result.score)
        return result

    metric._compute_score_from_stats = compute_plain  # type: ignore[method-assign]


def corpus_scores(hypotheses: Sequence[str], *references: Sequence[str]) -> dict[str, Score]:
    """Return BLEU (13a, cased), chrF and TER of detokenised text, each with its 95 % interval.

    Args:
        hypotheses: a translation a line.
        references: one or more sets of translations by people, each of as many lines.

    Raises:
        DataError: there is nothing to score, or a set differs in length (names both counts).
    """
    _check(hypotheses, references)
    scores = {}
    for name, metric in _metrics().items():
        result = metric.corpus_score(list(hypotheses), [*map(list, references)], n_bootstrap=N_RESAMPLES)
        mean, half_width = float(result._mean), float(result._ci)
        signature = str(metric.get_signature())
        scores[name] = Score(float(result.score), mean - half_width, mean + half_width, signature)
    return scores


def bleu(hypotheses: Sequence[str], *references: Sequence[str]) -> float:
    """Return the BLEU score alone, without an interval; see `corpus_scores`."""
    _check(hypotheses, references)
    return float(BLEU().corpus_score(list(hypotheses), [*map(list, references)]).score)


def compare(
    hypotheses: Sequence[str], others: Sequence[str], *references: Sequence[str]
) -> dict[str, Comparison]:
    """Test two systems against each other by paired bootstrap resampling (Koehn 2004).

    Raises:
        DataError: they differ in length, or a set of references does.
    """
    _check(hypotheses, references)
    _check(others, references)
    metrics = _metrics()
    test = PairedTest(
        [("other", list(others)), ("ours", list(hypotheses))],
        metrics,
        references=[*map(list, references)],
        test_type="bs",
        n_samples=N_RESAMPLES,
    )
    _, table = test()
    columns = [column for heading, column in table.items() if heading != "System"]  # in the metrics' order
    found = {}
    for name, (other, ours) in zip(metrics, columns, strict=True):
        assert isinstance(other, Result)
        assert isinstance(ours, Result)
        assert ours.p_value is not None
        # sacreBLEU counts resamples that differ by more than the systems do: for equal ones it counts none.
        p_value = 1.0 if ours.score == other.score else float(ours.p_value)
        found[name] = Comparison(float(ours.score), float(other.score), p_value)
    return found


def _check(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    for number, lines in enumerate(references, start=1):
        if len(hypotheses) != len(lines):
            which = f" in set {number} of {len(references)}" if len(references) > 1 else ""
            raise DataError(
                f"{len(hypotheses)} translations and {len(lines)} references{which}; line n of the one must "
                "belong to line n of the other"
            )
    if not references or not hypotheses:
        raise DataError("nothing to score: the test set has no lines")
