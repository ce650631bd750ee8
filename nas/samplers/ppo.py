"""The paper's own controller as a sampler; its policy is a function of the finished trials.

The weights are stored nowhere: a resumed search replays the updates of the trials that it finds, batch by
batch, and stands where the interrupted one stood.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.samplers.evolution import mutated
from nas.samplers.fitness import fitness
from nas.samplers.history import History, Observation
from nas.samplers.limits import within_limits
from nas.samplers.proposing import ProposingSampler
from nas.samplers.view import View
from search_space import FactorizedSpace, Point

if TYPE_CHECKING:
    from nas.samplers.controller import Controller

BATCH = 10  # evaluated trials for an update
BASELINE = 0.8  # share of the old baseline that an update keeps
_KEPT = 8  # policies of before the last batches, to go back to
_DRAWN = 32  # sequences drawn at once, of which the first that was not tried is proposed


class PPOSampler(ProposingSampler):
    """An LSTM policy, updated by PPO with a baseline after every BATCH evaluated trials."""

    def __init__(self, space: FactorizedSpace | View | None = None, *, seed: int = 0) -> None:
        super().__init__(space, seed=seed)
        self._policies: list[_Policy] = []

    def propose(self, view: View, history: History, rng: np.random.Generator) -> Point:
        policy = self._policy_after(view, history.evaluated)
        points = [_point(view, row) for row in policy.controller.sample(_DRAWN, rng)]
        for point in points:
            if within_limits(view, point) and not history.taken(view, point):
                return point
        return mutated(view, history, points[0], rng)

    def _policy_after(self, view: View, evaluated: tuple[Observation, ...]) -> _Policy:
        """The policy after all full batches, learned from the last one at hand that has seen a part of them.

        Of several at once a trial with a low number may end late: then the last batches are others.
        """
        full = evaluated[: len(evaluated) - len(evaluated) % BATCH]
        known = self._policies
        while known and (known[-1].view != view or full[: len(known[-1].seen)] != known[-1].seen):
            known.pop()
        if not known:
            known.append(_Policy(view, self._seed))
        while len(known[-1].seen) < len(full):
            last = known[-1]
            policy = deepcopy(last, {id(last.view): last.view, id(last.seen): last.seen})
            policy.learn(full[: len(policy.seen) + BATCH])
            known.append(policy)
        del known[:-_KEPT]
        return known[-1]


class _Policy:
    """The controller with its optimiser, its baseline and the observations that it has learned from."""

    def __init__(self, view: View, seed: int) -> None:
        import torch

        from nas.samplers.controller import RATE, Controller

        self.view = view
        self.seen: tuple[Observation, ...] = ()
        self.controller: Controller = Controller([len(choice.values) for choice in view.choices], seed)
        self._optimizer = torch.optim.Adam(self.controller.parameters(), lr=RATE)
        self._baseline: float | None = None

    def learn(self, observations: tuple[Observation, ...]) -> None:
        """Update on the last batch of `observations`, which go on from those seen before."""
        from nas.samplers.controller import update

        scores = fitness(observations)
        batch = scores[len(self.seen) :]
        if self._baseline is None:
            self._baseline = float(batch.mean())
        spread = float(scores.std())
        advantages = [(float(score) - self._baseline) / (spread or 1.0) for score in batch]
        indices = np.array([_indices(self.view, found.point) for found in observations[len(self.seen) :]])
        update(self.controller, self._optimizer, indices, advantages)
        self._baseline = BASELINE * self._baseline + (1 - BASELINE) * float(batch.mean())
        self.seen = observations


def _indices(view: View, point: Point) -> NDArray[np.int64]:
    """The index of each value; of one between those of a thinned range, the nearest."""
    found = []
    for choice in view.choices:
        value = point[choice.name]
        if value in choice.values:
            found.append(choice.values.index(value))
        else:
            gaps = [abs(float(other) - float(value)) for other in choice.values]
            found.append(gaps.index(min(gaps)))
    return np.array(found, dtype=np.int64)


def _point(view: View, row: NDArray[np.int64]) -> Point:
    return {choice.name: choice.values[int(i)] for choice, i in zip(view.choices, row, strict=True)}
