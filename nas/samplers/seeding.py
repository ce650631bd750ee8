"""Every draw a function of the seed and of how far the study is, so that a resumed search goes on alike.

Optuna seeds a sampler once, so a resumed study with the same seed replays its first draws. Here a trial's
draws depend on (seed, trials decided, trials in flight before it) and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

_KEPT = 10_000  # trials whose sampler is remembered: as many as there can be workers

_DECIDED = (TrialState.COMPLETE, TrialState.PRUNED)


def decided(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The finished trials, except those that were lost and whose point was enqueued again.

    A lost trial is one that FAILed without a `failed_because`: its retry takes its place, so that the
    search goes on as if nothing had happened.
    """
    ordered = sorted(trials, key=lambda trial: trial.number)
    retried = [
        (trial.number, trial.system_attrs["fixed_params"])
        for trial in ordered
        if "fixed_params" in trial.system_attrs
    ]

    def lost(trial: FrozenTrial) -> bool:
        if "failed_because" in trial.user_attrs:
            return False
        if trial.user_attrs.get("lost"):  # the search's own mark, also where no retry was queued
            return True
        return any(number > trial.number and params == trial.params for number, params in retried)

    return [
        trial
        for trial in ordered
        if trial.state in _DECIDED or (trial.state == TrialState.FAIL and not lost(trial))
    ]


def position(trials: Sequence[FrozenTrial], number: int) -> tuple[int, int]:
    """How many trials are decided, and how many with a number below `number` are in flight.

    No two trials of a study have the same position: one asked later finds more decided, or more in flight.
    """
    flying = [trial.number for trial in trials if trial.state is TrialState.RUNNING]
    return len(decided(trials)), sum(other < number for other in flying)


def generator(seed: int, *where: int) -> np.random.Generator:
    """A generator that depends on `seed` and `where` alone, the same in every process."""
    return np.random.default_rng(np.random.SeedSequence([seed, *where]))


class PerTrial(BaseSampler):
    """An Optuna sampler made anew for each trial, seeded by the seed and the trial's position.

    `create(seed)` gives the sampler; all that it knows besides must come from the study.
    """

    def __init__(self, create: Callable[[int], BaseSampler], *, seed: int) -> None:
        self._create = create
        self._seed = seed
        self._made: dict[int, BaseSampler] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._of(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._of(study, trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._of(study, trial).before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._of(study, trial).after_trial(study, trial, state, values)
        self._made.pop(trial.number, None)

    def _of(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        if trial.number not in self._made:
            where = position(study.get_trials(deepcopy=False), trial.number)
            # Optuna takes 32 bits at most.
            inner = self._create(int(generator(self._seed, *where).integers(2**32)))
            while len(self._made) >= _KEPT:
                self._made.pop(next(iter(self._made)), None)
            self._made[trial.number] = inner
        return self._made[trial.number]
