"""Length-normalised scores.

The score of a hypothesis is Σ log p / length^α, where the length is its number of tokens, including the end
symbol. fairseq, Transformers and CTranslate2 use the same formula.
"""

import math


def normalised(log_prob: float, length: int, alpha: float) -> float:
    """Return the score of a finished hypothesis.

    Args:
        log_prob: Σ log p of the tokens of the hypothesis; at most 0.
        length: number of tokens of the hypothesis, including the end symbol; at least 1.
        alpha: α, the length penalty; at least 0.
    """
    return log_prob / math.pow(length, alpha)


def best_possible(log_prob: float, max_length: int, alpha: float) -> float:
    """Return an upper bound on the scores of all continuations of an unfinished hypothesis.

    A further token can only lower the log-probability. Because the log-probability is at most 0, dividing it
    by length^α gives the largest score at the greatest length. So no continuation has a score above
    `log_prob` / `max_length`^α.
    """
    return log_prob / math.pow(max_length, alpha)
