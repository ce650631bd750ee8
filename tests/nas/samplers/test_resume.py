"""An interrupted search that is resumed proposes what one that was not interrupted proposes."""

import optuna
import pytest
from optuna.trial import TrialState

from nas import samplers


def kept(study):
    """The points in the order of their evaluation, without lost trials."""
    return [trial.params for trial in study.trials if trial.state != TrialState.FAIL]


def interrupted(new_study, evaluate, name, space, trials, at, objectives):
    """Lose the trial that is in flight at each of `at`; go on in what might be another process."""
    study = new_study(samplers.make(name, space, seed=3), objectives)
    storage, study_name = study._storage, study.study_name
    done = 0
    while done < trials:
        trial = study.ask()
        if done in at:
            at = at - {done}
            point = space.suggest(trial)
            # Killed here. The next process finds the trial RUNNING, and takes its point up again.
            study = optuna.load_study(
                study_name=study_name, storage=storage, sampler=samplers.make(name, space, seed=3)
            )
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(point)
            continue
        evaluate(trial, space, objectives)
        done += 1
    return study


@pytest.mark.parametrize("name", samplers.names())
@pytest.mark.parametrize("objectives", [1, 2])
def test_the_same_proposals(name, objectives, small, evaluate, new_study):
    whole = new_study(samplers.make(name, small, seed=3), objectives)
    for _ in range(34):
        evaluate(whole.ask(), small, objectives)
    broken = interrupted(new_study, evaluate, name, small, 34, {2, 13, 27}, objectives)
    assert len(broken.trials) == 37
    assert kept(broken) == kept(whole)


@pytest.mark.parametrize("name", samplers.names())
def test_a_resumed_study_does_not_replay_its_first_draws(name, small, evaluate, new_study):
    study = new_study(samplers.make(name, small, seed=0))
    evaluate(study.ask(), small)
    again = optuna.load_study(
        study_name=study.study_name, storage=study._storage, sampler=samplers.make(name, small, seed=0)
    )
    evaluate(again.ask(), small)
    assert again.trials[0].params != again.trials[1].params
