"""Early stopping with one objective and with two."""

import optuna
import pytest
from optuna.trial import TrialState

from candidates.errors import InputError
from nas.samplers.halting import Hyperband, epochs_saved, median, rule_of, should_stop


def trial(number, curve=None, latency=1.0):
    attributes = {"latency_ms": latency} | ({"curve": curve} if curve else {})
    frozen = optuna.trial.create_trial(state=TrialState.PRUNED, user_attrs=attributes)
    frozen.number = number
    return frozen


RIVALS = [[0.1 * i, 0.2 * i] for i in range(1, 6)]


def test_the_median_decides_at_the_same_epoch():
    assert median([0.29], RIVALS, 0)
    assert not median([0.31], RIVALS, 0)
    assert median([0.31, 0.5], RIVALS, 0)
    assert not median([0.01], RIVALS[:4], 0)  # too few to judge by


def test_hyperband_keeps_the_best_third_at_the_rungs_only():
    rule = Hyperband(epochs=20)
    assert rule.rungs == (1, 3, 9)
    assert rule([0.35], RIVALS, 0)
    assert not rule([0.45], RIVALS, 0)
    assert not rule([0.0, 0.0], RIVALS, 0)
    assert not rule([0.0], RIVALS, 1)  # the second bracket starts at epoch 3


def test_with_two_objectives_only_those_no_slower_are_rivals():
    fast = [trial(i, [0.5], latency=1.0) for i in range(5)]
    assert should_stop(median, trial(9, latency=2.0), [0.4], fast, None)
    assert not should_stop(median, trial(9, latency=0.5), [0.4], fast, None)


def test_with_one_objective_the_latency_counts():
    slow = [trial(i, [0.5], latency=4.0) for i in range(5)]
    by_latency = lambda t: 1 / t.user_attrs["latency_ms"]  # noqa: E731
    assert not should_stop(median, trial(9, latency=2.0), [0.4], slow, by_latency)
    assert should_stop(median, trial(9, latency=4.0), [0.4], slow, by_latency)


def test_rules_by_name_and_what_they_save():
    assert rule_of("none", 5) is None
    assert rule_of("median", 5) is median
    assert rule_of("hyperband", 5) == Hyperband(5)
    with pytest.raises(InputError, match="the pruner is 'mean'; expected one of hyperband, median, none"):
        rule_of("mean", 5)
    assert epochs_saved([trial(0, [0.1]), trial(1, [0.1] * 5), trial(2)], 5) == 4
