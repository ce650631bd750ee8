"""Points as rows of numbers: choices with their order, then the features."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from nas.samplers.gaussian_process import Array, Groups
from nas.samplers.view import View
from search_space import Choice, Point
from search_space.choice import Value

_KEPT = 50_000  # rows, some 30 MB
_REFERENCE = 256  # random points whose features decide what "0" and "1" mean


@dataclass(frozen=True)
class Prior:
    """What is believed of points before any was trained: `columns(points)` (n × k) become features.

    The surrogate learns how much each is worth, nothing included. Where the prior `leads`, its first column
    is a guess of the objective, and the first points are taken where that is high.
    """

    columns: Callable[[Sequence[Point]], Array]
    leads: bool = False


class Encoding:
    """Turns points of a view into rows with columns of mean about 0 and variance about 1.

    A choice of numbers is one column, their rank; a choice of words one column for each word; a choice with
    one value none. The columns of a `prior` are more features. Each choice and each feature is a group with a
    length scale of its own.
    """

    def __init__(self, view: View, prior: Prior | None = None) -> None:
        self._view = view
        self._prior = prior
        self._columns = [_columns(choice) for choice in view.choices if len(choice.values) > 1]
        rng = np.random.default_rng(0)
        seen = np.array([self._known(view.sample(rng)) for _ in range(_REFERENCE)], dtype=float)
        spread = seen.std(axis=0)
        self._used = spread > 1e-9
        self._mean, self._spread = seen.mean(axis=0)[self._used], spread[self._used]
        self._rows: dict[Hashable, Array] = {}
        widths = [len(rows[choice.values[0]]) for choice, rows in self._columns] + [1] * int(self._used.sum())
        self.groups = Groups(np.repeat(np.arange(len(widths)), widths).astype(np.int64))

    def rows(self, points: Sequence[Point]) -> Array:
        """The points' rows (n × d)."""
        return np.array([self._row(point) for point in points]).reshape(len(points), -1)

    def _row(self, point: Point) -> Array:
        plain = self._view.canonical(point)
        key = tuple(plain.values())
        if key not in self._rows:
            if len(self._rows) >= _KEPT:
                self._rows.clear()
            chosen = [number for choice, rows in self._columns for number in _at(choice, rows, plain)]
            known = np.array(self._known(plain), dtype=float)
            self._rows[key] = np.array([*chosen, *((known[self._used] - self._mean) / self._spread)])
        return self._rows[key]

    def _known(self, point: Point) -> tuple[float, ...]:
        """The features, and the prior's."""
        more = () if self._prior is None else self._prior.columns([point])[0]
        return (*self._view.features(point), *more)


def is_numeric(choice: Choice) -> bool:
    """Whether the values have an order: true and false, or None, have none."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in choice.values)


def _columns(choice: Choice) -> tuple[Choice, dict[Value, tuple[float, ...]]]:
    """The columns of each value: in ascending order for numbers, in the order given for words."""
    count = len(choice.values)
    if is_numeric(choice):
        ranks = np.arange(count, dtype=float)[:, None]
        rows = (ranks - ranks.mean()) / ranks.std()
        return choice, dict(zip(sorted(choice.values, key=float), map(tuple, rows.tolist()), strict=True))
    # Two different words are as far apart as two numbers are on average.
    rows = (np.eye(count) - 1.0 / count) * np.sqrt(count / (count - 1))
    return choice, dict(zip(choice.values, map(tuple, rows.tolist()), strict=True))


def _at(choice: Choice, rows: dict[Value, tuple[float, ...]], point: Point) -> tuple[float, ...]:
    value = point[choice.name]
    found = rows.get(value)
    if found is None:  # a number between two of a thinned range
        found = (float(np.interp(float(value), [float(v) for v in rows], [row[0] for row in rows.values()])),)
    return found
