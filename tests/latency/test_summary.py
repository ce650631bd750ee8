import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.summary import (
    Burst,
    drift,
    is_steady,
    median,
    median_interval,
    objections,
    quantile,
    robust_cv,
    summarise,
)

TIMES = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=80)


@given(TIMES, st.floats(0, 1))
def test_quantiles_are_numpys(values, q):
    assert quantile(values, q) == pytest.approx(float(np.quantile(values, q)), rel=1e-9)


def test_robust_cv_is_the_cv_of_normal_values_and_ignores_outliers():
    values = list(np.random.default_rng(1).normal(100, 5, 4000))
    assert robust_cv(values) == pytest.approx(0.05, rel=0.06)
    assert robust_cv([*values, *[10_000.0] * 40]) == pytest.approx(0.05, rel=0.08)


def test_interval_of_the_median_covers_as_often_as_it_says():
    rng = np.random.default_rng(2)
    for n in (10, 25, 60):
        hits = 0
        for _ in range(400):
            low, high = median_interval(list(rng.exponential(1, n)))
            hits += low <= math.log(2) <= high
        assert 0.93 <= hits / 400 <= 1.0, n


@given(TIMES)
def test_interval_holds_the_median(values):
    low, high = median_interval(values)
    assert low <= median(values) <= high


def test_long_series_have_intervals_too():
    low, high = median_interval([float(i) for i in range(5000)])
    assert 2400 < low < 2500 < high < 2600


def test_steady_only_when_runs_stop_getting_faster():
    assert not is_steady([9, 8, 7, 6, 5, 4, 3, 2])
    assert not is_steady([5, 5, 5])
    assert is_steady([50, 9, 5, 5, 5, 5, 5, 5, 5, 5])


def test_drift_of_the_machine_is_divided_out():
    # The machine slows by 30 % half way, the reference with it.
    fast, slow = Burst((10.0,) * 7, 8.0), Burst((13.0,) * 7, 10.4)
    found = summarise([[fast] * 4 + [slow] * 4])
    assert found.cv == pytest.approx(0, abs=1e-12)
    assert found.latency_ms == pytest.approx(10 * 9.2 / 8)  # at the reference's median speed
    assert found.drift == pytest.approx((10.4 - 8.0) / 9.2)
    assert summarise([[fast] * 4], session_reference_ms=10.4).latency_ms == pytest.approx(13)


def test_without_a_reference_the_clock_alone_speaks():
    found = summarise([[Burst((10.0, 12.0))], [Burst((20.0, 22.0))], [Burst((12.0, 14.0))]])
    assert found.block_medians_ms == (11.0, 21.0, 13.0)
    assert found.latency_ms == 13.0
    assert (found.reference_ms, found.drift) == (None, None)
    assert found.count == 6


def test_drift_is_of_thirds_not_of_single_bursts():
    assert drift([8.0, 9.6, 8.0] * 10) == 0
    assert drift([8.0] * 10 + [8.4] * 10 + [9.6] * 10) == pytest.approx(1.6 / 8.4)


def test_objections_name_what_is_wrong():
    assert objections(0.05, 0.05, 50, 50) == []
    found = objections(0.2, 0.15, 10, 50)
    assert [word in text for word, text in zip(("20%", "15%", "10 timed"), found, strict=True)] == [True] * 3
