"""Finding a point with a high score by steps to neighbours, in spaces too large to list."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from nas.samplers.gaussian_process import Array
from nas.samplers.history import History
from nas.samplers.untaken import random_untaken
from nas.samplers.view import View
from search_space import Point

_CLIMBERS = 4
_STEPS = 10
_RANDOM = 128


def best_untaken(
    view: View,
    history: History,
    score: Callable[[Sequence[Point]], Array],
    starts: Sequence[Point],
    rng: np.random.Generator,
    count: int = 1,
) -> list[Point]:
    """The `count` points with the highest `score` that were met and are not taken, the best first.

    Where all are taken, a random one.

    The climb starts from `starts`, their neighbours and random points; taken points may be stepped on, as the
    way to a good one can lead over them.
    """
    scores: dict[Hashable, float] = {}
    points: dict[Hashable, Point] = {}

    def visit(wanted: Sequence[Point]) -> None:
        new: dict[Hashable, Point] = {}
        for point in wanted:
            identity = view.identity(point)
            if identity not in scores:
                new[identity] = point
        if new:
            points.update(new)
            scores.update(zip(new, score(list(new.values())).tolist(), strict=True))

    visit(list(starts))
    visit([view.sample(rng) for _ in range(_RANDOM)])
    expanded: set[Hashable] = set()
    for _ in range(_STEPS):
        tops = sorted(points, key=lambda identity: -scores[identity])[:_CLIMBERS]
        ahead = [identity for identity in tops if identity not in expanded]
        if not ahead:
            break
        expanded.update(ahead)
        visit([near for identity in ahead for near in view.neighbours(points[identity])])
    found: list[Point] = []
    for identity in sorted(points, key=lambda identity: -scores[identity]):
        if not history.taken(view, points[identity]):
            found.append(points[identity])
            if len(found) == count:
                break
    return found or [random_untaken(view, history, rng)]
