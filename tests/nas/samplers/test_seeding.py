"""The draws of a trial are decided by the seed and the study's decided trials."""

import optuna
import pytest
from optuna.trial import TrialState

from candidates.errors import InputError
from nas import samplers
from nas.samplers.seeding import decided, position
from search_space import load_space

SPACE = load_space("mnasnet")


def value(point):
    return sum(float(v) for v in point.values() if not isinstance(v, str))


def run(study, trials):
    for _ in range(trials):
        trial = study.ask()
        study.tell(trial, value(SPACE.suggest(trial)))


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"sampler is 'tpes'; expected one of .*random.*did you mean tpe"):
        samplers.make("tpes", SPACE)


def test_a_lost_trial_that_was_enqueued_again_is_not_decided_twice():
    study = optuna.create_study(direction="maximize")
    run(study, 2)
    lost = study.ask()
    point = SPACE.suggest(lost)
    assert position(study.get_trials(), lost.number) == (2, 0)
    assert position(study.get_trials(), lost.number + 1) == (2, 1)
    study.tell(lost, state=TrialState.FAIL)
    assert len(decided(study.get_trials())) == 3
    study.enqueue_trial(point)
    assert [trial.number for trial in decided(study.get_trials())] == [0, 1]
    run(study, 1)
    assert [trial.number for trial in decided(study.get_trials())] == [0, 1, 3]


def test_a_trial_that_failed_for_a_reason_stays_decided():
    study = optuna.create_study(direction="maximize")
    failed = study.ask()
    point = SPACE.suggest(failed)
    failed.set_user_attr("failed_because", "diverged")
    study.tell(failed, state=TrialState.FAIL)
    study.enqueue_trial(point)
    run(study, 1)
    assert [trial.number for trial in decided(study.get_trials())] == [0, 1]
