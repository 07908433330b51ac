"""The learning rate in closed form, under each budget."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.config import TrainConfig
from translator.training.schedule import Progress, learning_rate


def config(**values: float | None) -> TrainConfig:
    defaults = {"learning_rate": 2.0, "warmup_steps": 4, "decay_fraction": 0.5}
    return TrainConfig.model_validate(defaults | values, strict=False)


def test_it_rises_stays_and_falls_to_zero_over_a_budget_of_steps() -> None:
    train = config(max_steps=20)
    rates = [learning_rate(train, Progress(steps=step)) for step in range(21)]
    warm_up = [2.0 * n / 5 for n in (1, 2, 3, 4)]
    decay = [2.0 * (20 - step) / 10 for step in range(10, 21)]
    assert rates == pytest.approx([*warm_up, *[2.0] * 6, *decay])
    assert rates[-1] == 0


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert learning_rate(config(max_steps=20, warmup_steps=0), Progress()) == 2.0


@pytest.mark.parametrize("decay_fraction", [0.1, 0.4, 1.0])
def test_budgets_of_epochs_and_minutes_decay_over_their_last_part(decay_fraction: float) -> None:
    by_epochs = config(max_epochs=8, decay_fraction=decay_fraction)
    by_minutes = config(max_minutes=2.0, decay_fraction=decay_fraction)
    for share in (0.0, 0.3, 0.59, 0.6, 0.61, 0.95, 1.0):
        expected = 2.0 * min(1.0, (1 - share) / decay_fraction)
        late = Progress(steps=1000, epochs=8 * share, seconds=120 * share)
        assert learning_rate(by_epochs, late) == pytest.approx(expected, abs=1e-12)
        assert learning_rate(by_minutes, late) == pytest.approx(expected, abs=1e-12)


def test_the_nearest_budget_rules() -> None:
    train = config(max_steps=100, max_epochs=10, max_minutes=1.0, decay_fraction=1.0)
    done = Progress(steps=50, epochs=2.0, seconds=45.0)
    assert done.fraction(train) == 0.75
    assert learning_rate(train, done) == pytest.approx(2.0 * 0.25)
    # Controls: leaving out the nearest gives another share, leaving out another does not.
    assert done.fraction(config(max_steps=100, max_epochs=10)) == 0.5
    assert done.fraction(config(max_steps=100, max_minutes=1.0)) == 0.75


def test_beyond_the_budget_the_rate_stays_zero() -> None:
    train = config(max_minutes=1.0)
    assert Progress(seconds=61.0).fraction(train) == 1.0
    assert learning_rate(train, Progress(steps=1000, seconds=75.0)) == 0


@given(
    st.integers(0, 300),
    st.integers(1, 200),
    st.integers(0, 300),
    st.floats(0.01, 1.0, allow_nan=False),
)
def test_it_is_never_negative_nor_above_the_peak(steps: int, budget: int, warmup: int, decay: float) -> None:
    train = config(max_steps=budget, warmup_steps=warmup, decay_fraction=decay)
    rate = learning_rate(train, Progress(steps=steps))
    assert 0 <= rate <= 2.0
    assert math.isclose(rate, 0, abs_tol=1e-12) == (steps >= budget)


def test_the_rate_of_a_run_that_starts_from_a_model_is_lower() -> None:
    plain, lower = config(max_steps=20), config(max_steps=20, init_rate_factor=0.1)
    started = config(max_steps=20, init_rate_factor=0.1).model_copy(update={"init_from": "runs/a"})
    for step in range(20):
        rate = learning_rate(plain, Progress(steps=step))
        assert learning_rate(lower, Progress(steps=step)) == rate
        assert learning_rate(started, Progress(steps=step)) == pytest.approx(rate / 10)
