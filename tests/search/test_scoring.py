"""Length-normalised scores, and the bound that lets a search stop early."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.search.scoring import best_possible, normalised


@pytest.mark.parametrize(
    ("log_prob", "length", "alpha", "expected"),
    [
        (-6.0, 3, 1.0, -2.0),
        (-6.0, 3, 0.0, -6.0),
        (-6.0, 4, 0.5, -3.0),
        (-6.0, 2, 2.0, -1.5),
        (-6.0, 1, 1.0, -6.0),
        (0.0, 5, 1.0, 0.0),
    ],
)
def test_score_is_log_prob_over_length_to_the_alpha(
    log_prob: float, length: int, alpha: float, expected: float
) -> None:
    assert normalised(log_prob, length, alpha) == expected


def test_a_zero_penalty_leaves_the_log_prob_and_a_higher_one_prefers_longer() -> None:
    short, long = (-4.0, 4), (-5.0, 6)
    assert normalised(*short, alpha=0.0) > normalised(*long, alpha=0.0)
    assert normalised(*short, alpha=1.0) < normalised(*long, alpha=1.0)


LENGTHS = st.integers(1, 300)
LOG_PROBS = st.floats(-1000, 0)


@given(LOG_PROBS, LOG_PROBS, LENGTHS, LENGTHS, st.floats(0, 3))
def test_bound_holds_for_every_continuation(
    log_prob: float, more: float, length: int, other_length: int, alpha: float
) -> None:
    length, max_length = sorted([length, other_length])
    score = normalised(log_prob + more, length, alpha)
    assert score <= best_possible(log_prob, max_length, alpha) + 1e-12


@given(LOG_PROBS, LENGTHS, st.floats(0, 3))
def test_bound_is_reached(log_prob: float, max_length: int, alpha: float) -> None:
    # No lower bound would hold: an output of the greatest length whose other pieces are certain has it.
    assert math.isclose(
        normalised(log_prob, max_length, alpha), best_possible(log_prob, max_length, alpha), rel_tol=1e-12
    )


def test_control_the_score_itself_is_no_bound() -> None:
    # What an unfinished output would score if it ended now can still be surpassed.
    assert normalised(-4.0, 8, 1.0) > normalised(-4.0, 4, 1.0)
