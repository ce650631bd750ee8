"""With many in flight several points are proposed at once; with very many trials the model sees some of them."""

import random

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from nas.samplers import proposing
from nas.samplers.encoding import Encoding
from nas.samplers.history import History, Observation
from nas.samplers.model import Fitter
from nas.samplers.thinning import MOST, MOST_PENDING, merit, thinned
from nas.samplers.view import view_of
from search_space import load_space
from tests.nas.samplers.conftest import accuracy_of


@pytest.fixture
def looks(monkeypatch):
    """The number of decided trials each time that the study was looked at for a proposal."""
    seen = []
    plain = proposing.history_of

    def counted(*arguments):
        found = plain(*arguments)
        seen.append(len(found.observations))
        return found

    monkeypatch.setattr(proposing, "history_of", counted)
    return seen


@pytest.mark.parametrize("name", ["surrogate", "evolution", "ppo"])
@pytest.mark.parametrize("objectives", [1, 2])
def test_many_in_flight_are_all_different_and_take_few_looks(name, objectives, run, looks):
    space = load_space("mnasnet")
    study = run(name, space, 25, objectives=objectives)
    del looks[:]
    asked = [study.ask() for _ in range(40)]
    networks = {space.decode(space.suggest(trial)).id for trial in asked}
    assert len(networks) == 40
    assert len(looks) < 25
    assert looks[:8] == [25] * 8  # up to eight in flight each is proposed on its own


def test_what_was_proposed_long_ago_is_proposed_anew(run, looks):
    space = load_space("mnasnet")
    study = run("evolution", space, 21)
    for _ in range(28):
        space.suggest(study.ask())
    del looks[:]
    space.suggest(study.ask())
    assert not looks  # it was proposed ahead
    for _ in range(20):  # another search takes the next numbers
        study.add_trial(optuna.create_trial(state=TrialState.FAIL))
    space.suggest(study.ask())
    assert len(looks) == 1


def test_a_batch_of_the_model_is_better_than_chance_and_spread_out(run):
    space = load_space("mnasnet")
    study = run("surrogate", space, 40)
    for _ in range(48):
        space.suggest(study.ask())  # the last of them come from batches
    view = view_of(space)
    rng = random.Random(0)

    def reward(point):
        arch = space.decode(point)
        return accuracy_of(arch) * (arch.multiply_adds() / 1e6) ** -0.07

    chance = [reward(space.sample(rng)) for _ in range(100)]
    assert np.mean([reward(trial.params) for trial in study.trials[-16:]]) > np.quantile(chance, 0.9)
    assert len({view.identity(trial.params) for trial in study.trials[-16:]}) == 16


def test_the_joint_prediction_agrees_with_the_single_ones():
    view = view_of(load_space("mnasnet"))
    rng = np.random.default_rng(0)
    points = [view.sample(rng) for _ in range(30)]
    found = [Observation(n, p, (view.features(p)[2],)) for n, p in enumerate(points)]
    fitted = Fitter(view, Encoding(view)).fit(found)
    others = [view.sample(rng) for _ in range(7)]
    mean, deviation = fitted.predict(others)
    joint, covariance = fitted.joint(others)
    assert joint == pytest.approx(mean)
    assert np.sqrt(covariance.diagonal()) == pytest.approx(deviation, rel=1e-6)
    assert covariance == pytest.approx(covariance.T)


def history(values, pending=0):
    observations = tuple(Observation(n, {"x": n}, v) for n, v in enumerate(values))
    return History(observations, tuple({"x": -n} for n in range(pending)), 1, frozenset())


def test_up_to_a_thousand_trials_are_all_seen():
    some = history([(float(n),) for n in range(MOST)], pending=MOST_PENDING)
    assert thinned(some) == some


def test_of_very_many_the_best_and_an_even_choice_of_the_rest_are_seen():
    rng = np.random.default_rng(0)
    values = [None if n % 10 == 0 else (float(rng.normal()),) for n in range(5 * MOST + 30)]
    some = thinned(history(values, pending=2 * MOST_PENDING))
    numbers = [found.number for found in some.observations]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == MOST + 30
    ranked = sorted((n for n in range(5 * MOST) if values[n]), key=lambda n: -values[n][0])
    assert set(ranked[: MOST // 2]) < set(numbers)
    rest = np.array(sorted(set(numbers[:MOST]) - set(ranked[: MOST // 2])))
    assert np.diff(rest).max() < 40  # none of the search's time is left out
    assert numbers[-30:] == list(range(5 * MOST, 5 * MOST + 30))
    assert len(some.pending) == MOST_PENDING


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_with_two_objectives_fronts_are_peeled_off(pairs):
    found = [Observation(n, {}, (float(a), float(b))) for n, (a, b) in enumerate(pairs)]
    merits = merit(found, len(found))

    def beaten(one, other):
        return other[0] >= one[0] and other[1] >= one[1] and other != one

    for n, pair in enumerate(pairs):  # whoever beats another is on an earlier front
        for m, other in enumerate(pairs):
            if beaten(pair, other):
                assert merits[m] > merits[n]
