"""Length-normalised scores.

The score of a hypothesis is Σ log p / length^α, where the length is its number of tokens, end symbol
included. The formula is that of fairseq, Transformers and CTranslate2.
"""

import math


def normalised(log_prob: float, length: int, alpha: float) -> float:
    """Return the score of a finished hypothesis.

    Args:
        log_prob: Σ log p of its tokens, at most 0.
        length: number of tokens, end symbol included, at least 1.
        alpha: α, the length penalty, at least 0.
    """
    return log_prob / math.pow(length, alpha)


def best_possible(log_prob: float, max_length: int, alpha: float) -> float:
    """Return an upper bound on the scores of all continuations of an unfinished hypothesis.

    Each further token can only lower the log-probability. Since the log-probability is at most 0, its
    quotient by length^α is largest for the greatest length. So no continuation scores above `log_prob` /
    `max_length`^α.
    """
    return log_prob / math.pow(max_length, alpha)
