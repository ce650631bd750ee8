"""The Gaussian process: its gradient, its conditioning and what it finds."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.stats import norm

from nas.samplers import acquisition
from nas.samplers.gaussian_process import Groups, _loss, condition, fit_hyperparameters

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(40, 4))
GROUPS = Groups(np.array([0, 1, 1, 2]))
TARGETS = 2.0 * INPUTS[:, 0] + np.sin(2 * INPUTS[:, 3]) + 0.05 * RNG.normal(size=40)


def test_the_gradient_is_the_losses():
    start = np.array([-0.5, 0.2, -3.0, 0.1, 0.4, -0.2])
    error = check_grad(
        lambda v: _loss(v, INPUTS, TARGETS, GROUPS)[0], lambda v: _loss(v, INPUTS, TARGETS, GROUPS)[1], start
    )
    assert error < 1e-3 * np.linalg.norm(_loss(start, INPUTS, TARGETS, GROUPS)[1])


def test_it_predicts_what_it_has_not_seen_and_knows_the_noise():
    theta = fit_hyperparameters(INPUTS, TARGETS, GROUPS)
    process = condition(INPUTS, TARGETS, GROUPS, theta)
    new = RNG.normal(size=(200, 4)) * 0.7
    truth = 2.0 * new[:, 0] + np.sin(2 * new[:, 3])
    mean, deviation = process.predict(new)
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.25 * truth.std()
    assert 0.01 < process.noise < 0.3
    assert np.mean(np.abs(mean - truth) < 3 * deviation) > 0.9


def test_equal_targets_and_a_single_one_are_no_trouble():
    for count in (1, 6):
        theta = fit_hyperparameters(INPUTS[:count], np.full(count, 0.5), GROUPS)
        mean, deviation = condition(INPUTS[:count], np.full(count, 0.5), GROUPS, theta).predict(INPUTS)
        assert np.isfinite(mean).all()
        assert np.isfinite(deviation).all()


@pytest.mark.parametrize(
    ("mean", "deviation", "weight", "best"), [(2.0, 0.3, 1.1, 0.9), (2.5, 0.05, 0.9, 0.8)]
)
def test_the_expected_improvement_of_the_reward_is_that_of_draws(mean, deviation, weight, best):
    draws = mean + deviation * norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    wanted = np.maximum(weight * (1 - np.exp(-draws)) - best, 0.0).mean()
    found = acquisition.log_reward_improvement(*(np.array([v]) for v in (mean, deviation, weight)), best)
    assert np.exp(found[0]) == pytest.approx(wanted, rel=1e-3)


def test_improvements_keep_a_slope_where_they_vanish():
    weight = np.ones(3)
    found = acquisition.log_reward_improvement(np.array([0.5, 0.6, 0.7]), np.full(3, 0.01), weight, 0.9)
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize("error", [True, False])
def test_the_growth_of_the_front_is_that_of_draws(error):
    front = np.array([[0.6, 1.0], [0.7, 2.0], [0.65, 3.0], [0.8, 4.0]])
    reference = (0.5, 5.0)

    def area(pairs):
        edges = np.linspace(0.0, 5.0, 5001)[:-1] + 0.0005
        best = [max([v for v, cost in pairs if cost <= edge], default=0.5) for edge in edges]
        return np.mean(np.maximum(np.array(best) - 0.5, 0.0)) * 5.0

    mean, deviation, latency = 0.9, 0.2, 1.5
    draws = mean + deviation * norm.ppf((np.arange(60) + 0.5) / 60)
    values = 1 - np.exp(-draws) if error else draws
    wanted = np.mean([area([*front, (value, latency)]) for value in values]) - area(front)
    found = acquisition.log_front_improvement(
        np.array([mean]), np.array([deviation]), np.array([latency]), front, reference, error
    )
    assert np.exp(found[0]) == pytest.approx(wanted, rel=0.02)


def test_what_is_believed_of_points_in_flight_is_no_news():
    rng = np.random.default_rng(0)
    inputs = rng.random((20, 3))
    targets = 5.0 + 3.0 * inputs[:, 0] + 0.1 * rng.standard_normal(20)
    groups = Groups(np.arange(3))
    process = condition(inputs, targets, groups, fit_hyperparameters(inputs, targets, groups))
    pending, others = 0.5 + 0.01 * rng.random((40, 3)), rng.random((50, 3))
    mean = process.predict(pending)[0]
    believing = condition(
        np.concatenate([inputs, pending]), np.concatenate([targets, mean]), groups, process.theta,
        (process.mean, process.scale),
    )  # fmt: skip
    (before, spread), (after, narrower) = process.predict(others), believing.predict(others)
    assert np.allclose(before, after, atol=1e-9)
    assert (narrower <= spread + 1e-9).all()
    assert believing.noise == process.noise
