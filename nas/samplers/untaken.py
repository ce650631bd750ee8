"""Candidates that were not tried yet, for as long as there are any."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from nas.samplers.history import History
from nas.samplers.limits import within_limits
from nas.samplers.view import View
from search_space import Point

_TRIES = 200
_LISTED = 50_000  # a space of at most so many points is gone through when random draws find nothing


def random_untaken(view: View, history: History, rng: np.random.Generator) -> Point:
    """A random point whose candidate is neither decided nor in flight; any point once all are."""
    return several_untaken(view, history, rng, 1)[0]


def several_untaken(view: View, history: History, rng: np.random.Generator, count: int) -> list[Point]:
    """`count` such points; fewer, but at least one point, where hardly any are left."""
    found: list[Point] = []
    misses = 0
    while len(found) < count and misses < _TRIES:
        point = view.sample(rng)
        if history.taken(view, point):
            misses += 1
        else:
            found.append(point)
    if not found and math.prod(len(choice.values) for choice in view.choices) <= _LISTED:
        left = [point for point in every_point(view) if not history.taken(view, point)]
        if left:
            return [left[int(rng.integers(len(left)))]]
    return found or [view.sample(rng)]


def every_point(view: View) -> Iterator[Point]:
    """All points of a small space, without those that are over its limits."""
    names = [choice.name for choice in view.choices]
    for values in itertools.product(*(choice.values for choice in view.choices)):
        point = dict(zip(names, values, strict=True))
        if within_limits(view, point):
            yield point
