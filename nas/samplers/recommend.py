"""What to recommend of all that was tried: the best by the model where there is one, else the best seen.

The best of many noisy observations is partly the luckiest; a model that knows the neighbours discounts that.
"""

from __future__ import annotations

from optuna import Study
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.surrogate import SurrogateSampler


def estimated_accuracies(study: Study, sampler: BaseSampler) -> dict[int, float]:
    """By number, the accuracy (0 to 1) of each COMPLETE trial that is no duplicate.

    By the sampler's model where it has one, else as observed. Trials without a user attribute `accuracy`
    are counted by their first value, turned so that more is better.
    """
    if isinstance(sampler, SurrogateSampler):
        return sampler.estimated(study)
    sign = 1.0 if study.directions[0] == StudyDirection.MAXIMIZE else -1.0
    return {
        trial.number: float(trial.user_attrs.get("accuracy", sign * trial.values[0]))
        for trial in _complete(study)
    }


def recommended(study: Study, sampler: BaseSampler) -> FrozenTrial | None:
    """The trial with the highest estimated reward (of one objective), or None where none is COMPLETE.

    The reward's weight, reward over accuracy, is known for each trial; only the accuracy is estimated.
    """
    estimates = estimated_accuracies(study, sampler)

    def reward(trial: FrozenTrial) -> float:
        accuracy = trial.user_attrs.get("accuracy")
        weight = trial.values[0] / accuracy if accuracy else float(accuracy is None)
        return estimates[trial.number] * weight

    trials = [trial for trial in _complete(study) if trial.number in estimates]
    return max(trials, key=reward, default=None)


def _complete(study: Study) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return [trial for trial in trials if "duplicate_of" not in trial.user_attrs]
