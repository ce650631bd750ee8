"""A candidate that was not tried yet, for as long as there is one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from nas.samplers.history import History
from nas.samplers.view import View
from search_space import Point

_TRIES = 200
_LISTED = 50_000  # a space of at most so many points is gone through when random draws find nothing


def random_untaken(view: View, history: History, rng: np.random.Generator) -> Point:
    """A random point whose candidate is neither decided nor in flight; any point once all are."""
    for _ in range(_TRIES):
        point = view.sample(rng)
        if not history.taken(view, point):
            return point
    if math.prod(len(choice.values) for choice in view.choices) <= _LISTED:
        left = [point for point in every_point(view) if not history.taken(view, point)]
        if left:
            return left[int(rng.integers(len(left)))]
    return view.sample(rng)


def every_point(view: View) -> Iterator[Point]:
    """All points of a small space."""
    names = [choice.name for choice in view.choices]
    for values in itertools.product(*(choice.values for choice in view.choices)):
        yield dict(zip(names, values, strict=True))
