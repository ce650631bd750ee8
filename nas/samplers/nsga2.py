"""Optuna's NSGA-II, in which a trial taken up again belongs to the generation of the one that was lost."""

from __future__ import annotations

from optuna import Study
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial


class ResumableNSGAIISampler(NSGAIISampler):
    """NSGA-II that gives every trial its generation, enqueued ones too.

    Optuna leaves those out of the population, so that a resumed search would part from one that was not
    interrupted when the generation ends.
    """

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        super().before_trial(study, trial)
        self.get_trial_generation(study, trial)
