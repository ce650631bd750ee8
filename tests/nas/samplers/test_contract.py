"""What every sampler keeps to."""

import copy

import optuna
import pytest
from optuna.trial import TrialState

from nas import samplers
from search_space import load_space

OURS = ("surrogate", "evolution", "ppo")
BOTH = pytest.mark.parametrize("objectives", [1, 2])
EVERY = pytest.mark.parametrize("name", samplers.names())


def points(study):
    return [trial.params for trial in study.trials]


@EVERY
@BOTH
def test_every_point_is_one_of_the_space(name, objectives, run):
    space = load_space("mnasnet")
    for point in points(run(name, space, 8, objectives=objectives)):
        assert set(point) == {choice.name for choice in space.choices}
        assert all(point[choice.name] in choice.values for choice in space.choices)


@EVERY
@BOTH
def test_the_seed_decides(name, objectives, small, run):
    first = points(run(name, small, 25, seed=1, objectives=objectives))
    assert first == points(run(name, small, 25, seed=1, objectives=objectives))
    assert first != points(run(name, small, 25, seed=2, objectives=objectives))


@pytest.mark.parametrize("name", OURS)
@BOTH
def test_no_network_twice_while_there_are_others(name, objectives, tiny, run, evaluate):
    count = len({tiny.decode(point).id for point in every(tiny)})
    study = run(name, tiny, count, objectives=objectives)
    assert len({trial.user_attrs["id"] for trial in study.trials}) == count
    evaluate(study.ask(), tiny, objectives)  # all were tried: a point all the same


def every(space):
    from nas.samplers.untaken import every_point

    return every_point(space)


@EVERY
@BOTH
def test_failed_and_pruned_trials_are_survived(name, objectives, small, evaluate, new_study):
    study = new_study(samplers.make(name, small, seed=0), objectives)
    fates = [TrialState.FAIL, TrialState.PRUNED] * 4 + [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
    ] * 9
    ids = []
    for fate in fates:
        if objectives == 2 and fate == TrialState.PRUNED and name not in OURS:
            fate = TrialState.FAIL  # Optuna's own refuse pruning with several objectives
        ids.append(evaluate(study.ask(), small, objectives, fate=fate))
    assert len(study.trials) == len(fates)
    if name in OURS:
        assert len(set(ids)) == len(ids)


@EVERY
@BOTH
def test_asked_in_parallel_proposals_differ(name, objectives, small, run):
    study = run(name, small, 22, objectives=objectives)
    asked = [study.ask() for _ in range(5)]
    found = [small.decode(small.suggest(trial)).id for trial in asked]
    assert len(set(found)) == 5 if name in OURS else len(set(found)) > 1


@pytest.mark.parametrize("name", OURS)
def test_proposals_in_flight_are_seen_before_their_trial_reads_them(name, small, run):
    study = run(name, small, 22)
    first, second = study.ask(), study.ask()  # neither has asked for its parameters yet
    assert small.decode(small.suggest(first)).id != small.decode(small.suggest(second)).id


@EVERY
def test_any_study_with_constants_and_conditional_choices(name):
    def objective(trial):
        assert trial.suggest_categorical("constant", ["only"]) == "only"
        width = trial.suggest_int("width", 8, 512, step=8)
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        loss = abs(width - 96) / 512 + abs(rate - 0.01)
        if trial.suggest_categorical("attention", [True, False, None]):
            loss += abs(trial.suggest_int("heads", 1, 8) - 4) / 10
        return loss

    study = optuna.create_study(sampler=samplers.make(name, seed=0))
    study.optimize(objective, n_trials=30)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
    assert {"heads" in trial.params for trial in study.trials} == {True, False}
    if name in OURS:
        seen = [tuple(sorted(trial.params.items(), key=str)) for trial in study.trials]
        assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", OURS)
def test_an_enqueued_point_is_taken_as_it_is(name, small, run):
    study = run(name, small, 8)
    wanted = dict(study.trials[0].params)
    study.enqueue_trial(wanted)
    trial = study.ask()
    assert small.suggest(trial) == wanted


@pytest.mark.parametrize("name", OURS)
def test_a_study_that_asks_from_several_threads_gets_no_network_twice(name, small, new_study):
    study, found = new_study(samplers.make(name, small, seed=0), 1), []

    def objective(trial):
        arch = small.decode(small.suggest(trial))
        found.append(arch.id)
        return arch.parameters() / 1e6

    study.optimize(objective, n_trials=24, n_jobs=4)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 24
    assert len(set(found)) == 24
    assert type(copy.deepcopy(study.sampler)) is type(study.sampler)
