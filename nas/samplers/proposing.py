"""The base of our own samplers: one method that turns the history into a point."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from threadpoolctl import threadpool_limits

from candidates import checks
from nas.samplers.distributions import DistributionView, distributions_of
from nas.samplers.history import PROPOSED, History, Memory, history_of
from nas.samplers.seeding import generator, position
from nas.samplers.view import View, view_of
from search_space import FactorizedSpace, Point

_AT_ONCE = 8  # for so many in flight, one more point is proposed at once


@dataclass
class Ahead:
    """Points proposed for the next trials of the study and the choices that `what` names, up to trial `until`."""

    what: tuple[str, ...]
    points: list[Point]
    until: int


class ProposingSampler(BaseSampler, ABC):
    """A sampler whose proposal is a function of the seed and the study's trials.

    Without a `space` it works on whatever parameters the study's trials have asked for so far; a parameter
    that is new is drawn at random. With eight or more trials in flight several points are proposed at once:
    an eighth of them more or less decided changes little.
    """

    def __init__(self, space: FactorizedSpace | View | None = None, *, seed: int = 0) -> None:
        self._view = None if space is None else view_of(space)
        self._seed = checks.integer("the seed", seed, minimum=0)
        self._ahead = Ahead((), [], 0)
        self._remembered: tuple[View | None, Memory] = None, {}
        self._one_at_a_time = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_one_at_a_time"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _one_at_a_time=Lock())

    @abstractmethod
    def propose(self, view: View, history: History, rng: np.random.Generator) -> Point:
        """The point to try next; all that is random comes from `rng`."""

    def propose_several(
        self, view: View, history: History, rng: np.random.Generator, count: int
    ) -> list[Point]:
        """At most `count` points to try next: one after the other, as if those before were in flight."""
        points: list[Point] = []
        for _ in range(count):
            points.append(self.propose(view, history, rng))
            history = history.with_pending(view, points[-1])
        return points

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if self._view is not None:
            return {choice.name: CategoricalDistribution(choice.values) for choice in self._view.choices}
        return distributions_of(study.get_trials(deepcopy=False))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        fixed = trial.system_attrs.get("fixed_params", {})
        if all(name in fixed for name in search_space):
            return {}
        with self._one_at_a_time:  # of a study's threads: each sees what those before it were given
            what, ahead = (study.study_name, *search_space), self._ahead
            if fixed or not ahead.points or ahead.what != what or trial.number > ahead.until:
                self._ahead = ahead = Ahead(what, *self._propose(study, trial, search_space))
            point = ahead.points.pop(0)
            proposed = {**{name: point[name] for name in search_space}, **fixed}
            # The trial's parameters are stored as it asks for them; others that ask meanwhile see this instead.
            study._storage.set_trial_system_attr(trial._trial_id, PROPOSED, proposed)
            return proposed

    def _propose(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> tuple[list[Point], int]:
        """Points for this trial and the next ones, and the number of the last trial that may still use them."""
        trials = study.get_trials(deepcopy=False)
        view = self._view or DistributionView(search_space)
        if self._remembered[0] != view:
            self._remembered = view, {}
        history = history_of(trials, study.directions, view, trial.number, self._remembered[1])
        rng = generator(self._seed, *position(trials, trial.number))
        count = 1 + len(history.pending) // _AT_ONCE
        # The matrices are small: threads cost more than they bring, and many times more on a busy machine.
        with threadpool_limits(limits=1):
            points = self.propose_several(view, history, rng, count)
        # Others that share the study take numbers too: then what was proposed is soon out of date.
        return points, trial.number + 2 * count

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        where = position(study.get_trials(deepcopy=False), trial.number)
        rng = generator(self._seed, *where, zlib.crc32(param_name.encode()))
        inner = RandomSampler(seed=int(rng.integers(2**32)))
        return inner.sample_independent(study, trial, param_name, param_distribution)
