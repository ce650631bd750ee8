"""A view built from a study's own parameters, for studies that are not about architectures."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from search_space import Choice, Point
from search_space.choice import Value
from search_space.space import Random

LEVELS = 65  # of a parameter with more values than that


def distributions_of(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Every parameter that any trial asked for, with its latest distribution; in the order of the names."""
    found = {name: d for trial in trials for name, d in trial.distributions.items()}
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class DistributionView:
    """Categorical, whole-number and float parameters as choices; long ranges become LEVELS values.

    A parameter that only some trials ask for (define-by-run) is a choice like the others.
    """

    distributions: Mapping[str, BaseDistribution]

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(Choice(name, values_of(d)) for name, d in self.distributions.items())

    def sample(self, rng: Random) -> Point:
        return {c.name: c.values[int(rng.random() * len(c.values))] for c in self.choices}

    def neighbours(self, point: Point) -> Iterator[Point]:
        """All other values of a short choice; of a long one those 1, 2, 4, … levels away."""
        for choice in self.choices:
            count = len(choice.values)
            if count <= 9:
                near = [value for value in choice.values if value != point[choice.name]]
            else:
                at = _nearest(choice, point[choice.name])
                steps = [sign * 2**k for k in range(count.bit_length() - 1) for sign in (-1, 1)]
                near = [choice.values[at + step] for step in steps if 0 <= at + step < count]
            for value in near:
                yield {**point, choice.name: value}

    def canonical(self, point: Point) -> Point:
        return point

    def identity(self, point: Point) -> Hashable:
        return tuple(point[choice.name] for choice in self.choices)

    def features(self, point: Point) -> tuple[float, ...]:
        return ()


def values_of(distribution: BaseDistribution) -> tuple[Value, ...]:
    """The values that a parameter may take, thinned to LEVELS where there are more."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices  # type: ignore[return-value] # Optuna allows None and bool beside ours
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is not None and (high - low) / step < LEVELS:
        found: list[float] = [low + i * step for i in range(round((high - low) / step) + 1)]
    elif distribution.log:
        found = [float(v) for v in np.geomspace(low, high, LEVELS)]
    else:
        found = [float(v) for v in np.linspace(low, high, LEVELS)]
    if step is not None:
        found = [low + round((v - low) / step) * step for v in found]
    if isinstance(distribution, IntDistribution):
        return tuple(dict.fromkeys(round(v) for v in found))
    return tuple(dict.fromkeys(min(max(v, low), high) for v in found))


def _nearest(choice: Choice, value: Value) -> int:
    return min(range(len(choice.values)), key=lambda i: math.fabs(float(choice.values[i]) - float(value)))
