"""How likely a translation is to be good: a calibrated probability.

A translation is good if its chrF against a reference would be at least 60 (`calibration.MIN_CHRF`). The
probability comes from a logistic regression on the mean log-probability of the tokens and on their number
(Platt 1999, "Probabilistic outputs for support vector machines"). Fomicheva et al. 2020, "Unsupervised
quality estimation for neural machine translation", compare the log-probability with other estimates.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

#: Key of the calibration in a model's manifest.
CONFIDENCE = "confidence"


@dataclass(frozen=True)
class Confidence:
    """How likely a translation is to be good.

    Attributes:
        probability: the probability that its chrF against a reference is at least `min_chrf`.
        is_guess: whether this probability is below the threshold of the model.
        min_chrf: the sentence-level chrF from which a translation counts as good, from 0 to 100.
    """

    probability: float
    is_guess: bool
    min_chrf: float


@dataclass(frozen=True)
class Calibration:
    """Turns the log-probability of a line's translation into the probability that it is good.

    With L = Σ log p of its n tokens, the probability is
    1 / (1 + exp(-(`bias` + `of_mean` · √(-L / n) + `of_length` · ln n))).

    Attributes:
        bias: as in the formula.
        of_mean: as in the formula.
        of_length: as in the formula.
        threshold: a translation with a lower probability is a guess.
        min_chrf: the sentence-level chrF from which a translation counts as good.
        n_lines: number of lines on which the numbers were fitted.
        error: expected calibration error on these lines; see `calibration.Report`.
    """

    bias: float
    of_mean: float
    of_length: float
    threshold: float
    min_chrf: float
    n_lines: int
    error: float

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> "Calibration | None":
        """Return the calibration of a model, or None if its manifest has none or one of another version."""
        facts = manifest.get(CONFIDENCE)
        if not isinstance(facts, dict) or set(facts) != {field.name for field in fields(cls)}:
            return None
        return cls(**facts) if all(isinstance(value, int | float) for value in facts.values()) else None

    def probability(self, log_prob: float, n_tokens: int) -> float:
        """Return the probability that a translation is good.

        Args:
            log_prob: Σ log p of the tokens of the translation, including the end symbol.
            n_tokens: number of these tokens.
        """
        terms = (self.bias, self.of_mean, self.of_length)
        logit = sum(a * b for a, b in zip(terms, features(log_prob, n_tokens), strict=True))
        return 0.5 * (1 + math.tanh(logit / 2))  # the logistic function, which cannot overflow

    def of_lines(self, log_probs: Sequence[tuple[float, int]]) -> Confidence | None:
        """Return the confidence in a translation: that of its least probable line. It is None if blank.

        Args:
            log_probs: the log-probability of each line and its number of tokens, as in `probability`.
        """
        if not log_probs:
            return None
        lowest = min(self.probability(*line) for line in log_probs)
        return Confidence(lowest, lowest < self.threshold, self.min_chrf)


def features(log_prob: float, n_tokens: int) -> tuple[float, float, float]:
    """Return the terms of the formula in `Calibration`: 1, √(-log p / n) and ln n."""
    return 1.0, math.sqrt(max(0.0, -log_prob) / n_tokens), math.log(n_tokens)
