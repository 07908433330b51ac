"""Fits the confidence in translations to their chrF, and measures how well the two agree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from translator.translation.confidence import Calibration, Confidence, features
from translator.translation.joining import Translation

#: A translation is good if its sentence-level chrF is at least this value.
MIN_CHRF = 60.0
#: The threshold is the highest with which at most the fraction `MAX_FALSE_ALARMS` of the translations with
#: at least this chrF are called guesses.
CLEARLY_GOOD_CHRF = 80.0
MAX_FALSE_ALARMS = 0.1
#: Nothing is fitted unless so many translations are bad and so many are clearly good.
MIN_LINES = 50
#: Number of bins of the calibration error.
N_BINS = 10


@dataclass(frozen=True)
class Report:
    """How well the confidence in translations agrees with their chrF.

    Attributes:
        error: expected calibration error (Guo et al. 2017, "On calibration of modern neural networks") with
            `N_BINS` bins of equal width.
        flagged_bad: fraction of the translations with a chrF below `MIN_CHRF` that are guesses.
        flagged_good: fraction of those with a chrF of at least `CLEARLY_GOOD_CHRF` that are guesses.
        n_bad: number of translations with a chrF below `MIN_CHRF`.
        n_good: number of translations with a chrF of at least `CLEARLY_GOOD_CHRF`.
        bins: for each bin that is not empty, the mean probability, the fraction of good translations, and
            the number of translations.
    """

    error: float
    flagged_bad: float
    flagged_good: float
    n_bad: int
    n_good: int
    bins: list[tuple[float, float, int]]


def calibrate(translations: Sequence[Translation], chrf: Sequence[float]) -> Calibration | None:
    """Fit a calibration to translations of single lines. Translations of blank lines are left out.

    Args:
        translations: the translations.
        chrf: the sentence-level chrF of each translation.

    Returns:
        The calibration, or None if too few translations are bad or clearly good (`MIN_LINES`).
    """
    lines = [
        (*translation.line_log_probs[0], score)
        for translation, score in zip(translations, chrf, strict=True)
        if translation.line_log_probs
    ]
    good = [score >= MIN_CHRF for *_, score in lines]
    if min(good.count(False), sum(score >= CLEARLY_GOOD_CHRF for *_, score in lines)) < MIN_LINES:
        return None
    rows = [features(log_prob, n_tokens) for log_prob, n_tokens, _ in lines]
    weights = _logistic_regression(torch.tensor(rows).double(), torch.tensor(good).double()).tolist()
    bias, of_mean, of_length = weights
    fitted = Calibration(bias, of_mean, of_length, 0.0, min_chrf=MIN_CHRF, n_lines=len(lines), error=0.0)
    probabilities = [fitted.probability(log_prob, n_tokens) for log_prob, n_tokens, _ in lines]
    of_good = [p for p, (*_, score) in zip(probabilities, lines, strict=True) if score >= CLEARLY_GOOD_CHRF]
    threshold = sorted(of_good)[int(MAX_FALSE_ALARMS * len(of_good))]
    error, _ = _calibration_error(probabilities, good)
    return replace(fitted, threshold=threshold, error=error)


def report(confidences: Sequence[Confidence | None], chrf: Sequence[float]) -> Report | None:
    """Compare confidences with the sentence-level chrF of the translations. Return None if there are none."""
    pairs = [(found, score) for found, score in zip(confidences, chrf, strict=True) if found is not None]
    if not pairs:
        return None
    error, bins = _calibration_error([c.probability for c, _ in pairs], [f >= MIN_CHRF for _, f in pairs])
    bad = [found.is_guess for found, score in pairs if score < MIN_CHRF]
    good = [found.is_guess for found, score in pairs if score >= CLEARLY_GOOD_CHRF]
    return Report(error, _mean(bad), _mean(good), len(bad), len(good), bins)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _logistic_regression(rows: Tensor, labels: Tensor) -> Tensor:
    """Fit the weights of a logistic regression by Newton's method.

    A small penalty on the weights keeps them finite if the classes are separable.

    Args:
        rows: (N, F) float64, the features.
        labels: (N,) float64, 0 or 1.

    Returns:
        The weights, (F,) float64.
    """
    penalty = 1e-3 * torch.eye(rows.size(1)).double()
    weights = torch.zeros(rows.size(1)).double()
    for _ in range(50):
        p = (rows @ weights).sigmoid()
        hessian = (rows * (p * (1 - p))[:, None]).T @ rows + penalty
        weights -= torch.linalg.solve(hessian, rows.T @ (p - labels) + penalty @ weights)
    return weights


def _calibration_error(
    probabilities: Sequence[float], good: Sequence[bool]
) -> tuple[float, list[tuple[float, float, int]]]:
    """Return the expected calibration error and the bins; see `Report`."""
    by_bin: list[list[tuple[float, bool]]] = [[] for _ in range(N_BINS)]
    for probability, label in zip(probabilities, good, strict=True):
        by_bin[min(int(probability * N_BINS), N_BINS - 1)].append((probability, label))
    bins = [(_mean([p for p, _ in rows]), _mean([g for _, g in rows]), len(rows)) for rows in by_bin if rows]
    return sum(n * abs(p - share) for p, share, n in bins) / len(probabilities), bins
