"""Regularized evolution: the population is the youngest, parents win tournaments, children change one choice.

Real et al., Regularized Evolution for Image Classifier Architecture Search, arXiv 1802.01548.
"""

from __future__ import annotations

import numpy as np

from candidates import checks
from nas.samplers.fitness import fitness
from nas.samplers.history import History
from nas.samplers.proposing import ProposingSampler
from nas.samplers.untaken import random_untaken
from nas.samplers.view import View
from search_space import FactorizedSpace, Point


class EvolutionSampler(ProposingSampler):
    """Ageing evolution with `population` members and tournaments of `tournament` among them.

    The paper's 100 and 25 are for 20,000 evaluations; the defaults are for about a hundred.
    """

    def __init__(
        self,
        space: FactorizedSpace | View | None = None,
        *,
        seed: int = 0,
        population: int = 20,
        tournament: int = 5,
    ) -> None:
        super().__init__(space, seed=seed)
        self._population = checks.integer("the population", population)
        self._tournament = checks.integer("the tournament", tournament, maximum=population)

    def propose(self, view: View, history: History, rng: np.random.Generator) -> Point:
        alive = history.evaluated[-self._population :]
        if len(history.evaluated) < self._population:
            return random_untaken(view, history, rng)
        entrants = rng.choice(len(alive), self._tournament, replace=False)
        scores = fitness(alive)
        parent = alive[int(max(entrants, key=lambda i: scores[i]))].point
        return mutated(view, history, parent, rng)


def mutated(view: View, history: History, parent: Point, rng: np.random.Generator) -> Point:
    """A random neighbour that was not tried; where all were, one of a random neighbour, and so on."""
    for _ in range(100):
        near = list(view.neighbours(parent))
        left = [point for point in near if not history.taken(view, point)]
        if left:
            return left[int(rng.integers(len(left)))]
        if not near:
            break
        parent = near[int(rng.integers(len(near)))]
    return random_untaken(view, history, rng)
