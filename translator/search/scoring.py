"""How outputs of different lengths are compared.

The form Σ log p / length^α, the end symbol counted, is that of fairseq, Transformers and CTranslate2.
"""

import math


def normalised(log_prob: float, length: int, alpha: float) -> float:
    """Return the score of a finished output.

    Args:
        log_prob: Σ log p, at most 0.
        length: its pieces and the end symbol, at least 1.
        alpha: length penalty, at least 0.
    """
    return log_prob / math.pow(length, alpha)


def best_possible(log_prob: float, max_length: int, alpha: float) -> float:
    """Return a bound on the score of every output that continues an unfinished one.

    A log-probability only falls as an output grows, and being at most 0 it is worth most when divided by
    the greatest length; so no continuation scores above `log_prob` / `max_length`^α.
    """
    return log_prob / math.pow(max_length, alpha)
