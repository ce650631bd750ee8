"""Points as rows of numbers: choices with their order, then the features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from nas.samplers.gaussian_process import Array, Groups
from nas.samplers.view import View
from search_space import Choice, Point

_REFERENCE = 256  # random points whose features decide what "0" and "1" mean


class Encoding:
    """Turns points of a view into rows with columns of mean about 0 and variance about 1.

    A choice of numbers is one column, their rank; a choice of words one column for each word; a choice with
    one value none. Each choice and each feature is a group with a length scale of its own.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._columns = [_columns(choice) for choice in view.choices if len(choice.values) > 1]
        rng = np.random.default_rng(0)
        seen = np.array([view.features(view.sample(rng)) for _ in range(_REFERENCE)], dtype=float)
        spread = seen.std(axis=0)
        self._used = spread > 1e-9
        self._mean, self._spread = seen.mean(axis=0)[self._used], spread[self._used]
        self._rows: dict[Hashable, Array] = {}
        widths = [len(rows[0]) for _, rows in self._columns] + [1] * int(self._used.sum())
        self.groups = Groups(np.repeat(np.arange(len(widths)), widths).astype(np.int64))

    def rows(self, points: Sequence[Point]) -> Array:
        """The points' rows (n × d)."""
        return np.array([self._row(point) for point in points]).reshape(len(points), -1)

    def _row(self, point: Point) -> Array:
        plain = self._view.canonical(point)
        key = tuple(plain.values())
        if key not in self._rows:
            parts = [_at(choice, rows, plain) for choice, rows in self._columns]
            known = np.array(self._view.features(plain), dtype=float)
            parts.append((known[self._used] - self._mean) / self._spread)
            self._rows[key] = np.concatenate(parts)
        return self._rows[key]


def is_numeric(choice: Choice) -> bool:
    """Whether the values have an order: true and false, or None, have none."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in choice.values)


def _columns(choice: Choice) -> tuple[Choice, Array]:
    """The rows for a choice's values: in ascending order for numbers, in the order given for words."""
    count = len(choice.values)
    if is_numeric(choice):
        ranks = np.arange(count, dtype=float)[:, None]
        return choice, (ranks - ranks.mean()) / ranks.std()
    # Two different words are as far apart as two numbers are on average.
    marks = np.eye(count) - 1.0 / count
    return choice, marks * np.sqrt(count / (count - 1))


def _at(choice: Choice, rows: Array, point: Point) -> Array:
    value = point[choice.name]
    if is_numeric(choice):
        ordered = sorted(float(v) for v in choice.values)
        return np.array([np.interp(float(value), ordered, rows[:, 0])])
    return np.asarray(rows[choice.values.index(value)])
