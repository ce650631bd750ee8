"""Limits that a candidate can be held to without training it, and a space without what breaks them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from candidates import Architecture, checks
from candidates.errors import InputError
from nas.samplers.view import View
from search_space import Choice, Point
from search_space.space import Random

_DRAWS = 2_000  # before it is said that hardly any point is within the limits
_TRIED = 300  # draws that tell whether a walk is quicker
_WALK = 4  # steps for each choice
BYTES = 4  # of a weight and of an activation, float32


@dataclass(frozen=True)
class Limits:
    """The most that an architecture may have; None is no limit. MB are 10^6 bytes.

    Size is that of the weights in float32; memory is the weights plus the most activations that are alive at
    once.
    """

    parameters: int | None = None
    multiply_adds: int | None = None
    size_mb: float | None = None
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        for name in ("parameters", "multiply_adds"):
            if getattr(self, name) is not None:
                checks.integer(f"--max-{name.replace('_', '-')}", getattr(self, name))
        for name in ("size_mb", "memory_mb"):
            if getattr(self, name) is not None:
                checks.positive(f"--max-{name.replace('_', '-')}", getattr(self, name))

    def broken(self, arch: Architecture) -> tuple[str, ...]:
        """What `arch` breaks, each as a text with the value and the limit; empty where it is within all."""
        weights = BYTES * arch.parameters() / 1e6
        found: dict[str, float] = {"parameters": arch.parameters(), "size_mb": weights}
        if self.multiply_adds is not None:
            found["multiply_adds"] = arch.multiply_adds()
        if self.memory_mb is not None:
            found["memory_mb"] = weights + arch.peak_activation_bytes() / 1e6
        return tuple(
            f"{name} {value:,.10g} is over the limit of {limit:,.10g}"
            for name, value in found.items()
            if (limit := getattr(self, name)) is not None and value > limit
        )

    def allows_parameters(self, count: int) -> bool:
        """Whether that many are within the limits on parameters and size; there may be others."""
        most = math.inf if self.parameters is None else self.parameters
        return count <= most and (self.size_mb is None or BYTES * count / 1e6 <= self.size_mb)


@dataclass(frozen=True)
class LimitedView:
    """A view of the points that `allowed` accepts."""

    view: View
    allowed: Callable[[Point], bool]
    _walked: list[tuple[Random, Point]] = field(default_factory=list, repr=False, compare=False)

    @property
    def choices(self) -> tuple[Choice, ...]:
        return self.view.choices

    def sample(self, rng: Random) -> Point:
        """A point within the limits, uniform over them where they leave one in fifty points or more.

        Tighter ones are met by a random walk within them, from one such point; for the next point of the same
        `rng` it goes on. An InputError where draws find none.
        """
        for _ in range(_DRAWS if self._loose else 0):
            point = self.view.sample(rng)
            if self.allowed(point):
                return point
        if self._walked and self._walked[0][0] is rng:
            point, sweeps = self._walked[0][1], 1
        else:
            point, sweeps = self._somewhere, _WALK
        for _ in range(sweeps * len(self.choices)):
            near = list(self.view.neighbours(point))
            step = near[int(rng.random() * len(near))]
            if self.allowed(step):
                point = step
        self._walked[:] = [(rng, point)]
        return point

    @cached_property
    def _loose(self) -> bool:
        """Whether draws meet the limits soon: the same answer whoever asks."""
        rng = np.random.default_rng(1)
        return sum(self.allowed(self.view.sample(rng)) for _ in range(_TRIED)) >= _TRIED // 50

    @cached_property
    def _somewhere(self) -> Point:
        """A point within the limits, always the same one."""
        rng = np.random.default_rng(0)
        for _ in range(_DRAWS):
            point = self.view.sample(rng)
            if self.allowed(point):
                return point
        raise InputError(f"none of {_DRAWS:,} random points is within the limits; expected looser limits")

    def neighbours(self, point: Point) -> Iterator[Point]:
        return (near for near in self.view.neighbours(point) if self.allowed(near))

    def canonical(self, point: Point) -> Point:
        return self.view.canonical(point)

    def identity(self, point: Point) -> Hashable:
        return self.view.identity(point)

    def features(self, point: Point) -> tuple[float, ...]:
        return self.view.features(point)


def within_limits(view: View, point: Point) -> bool:
    """Whether `point` is one that `view` would draw."""
    return not isinstance(view, LimitedView) or view.allowed(point)
