import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import InputError
from nas.reward import HARD, reward


def test_at_the_target_the_reward_is_the_accuracy() -> None:
    assert reward(0.752, 78.0, 78.0) == 0.752


def test_the_soft_reward_gives_five_per_cent_for_twice_the_latency() -> None:
    assert reward(0.752 * 1.05, 156.0, 78.0) == pytest.approx(0.752, rel=0.001)


def test_the_hard_reward_ignores_what_is_within_and_divides_what_is_over() -> None:
    assert reward(0.7, 20.0, 80.0, *HARD) == 0.7
    assert reward(0.7, 160.0, 80.0, *HARD) == pytest.approx(0.35)


@given(st.floats(0.01, 1), st.floats(0.1, 1000), st.floats(0.1, 1000), st.floats(-2, 0), st.floats(-2, 0))
def test_the_formula(accuracy: float, latency: float, target: float, alpha: float, beta: float) -> None:
    weight = alpha if latency <= target else beta
    expected = math.exp(math.log(accuracy) + weight * math.log(latency / target))
    assert reward(accuracy, latency, target, alpha, beta) == pytest.approx(expected)


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf])
def test_a_target_that_is_none_is_refused(target: float) -> None:
    with pytest.raises(InputError, match="target_ms"):
        reward(0.5, 10.0, target)
