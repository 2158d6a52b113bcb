"""The learning rate as a function of the step."""

import pytest

from model.training.schedule import rate_factor


def test_rate_rises_over_the_warm_up_and_falls_to_zero() -> None:
    """It starts above zero, peaks when the warm-up ends, is half the peak half-way down."""
    factors = [rate_factor(step, 110, 10) for step in range(111)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[110] == 0
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_no_warm_up_starts_at_the_peak() -> None:
    """A warm-up of no steps divides by nothing."""
    assert rate_factor(0, 10, 0) == 1


def test_rate_after_the_end_is_zero() -> None:
    """Asking beyond the run's end gives no negative or rising rate."""
    assert rate_factor(500, 100, 10) == 0
