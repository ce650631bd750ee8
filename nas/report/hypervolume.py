"""How good a whole front is, as one number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nas.trials import Row


@dataclass(frozen=True)
class Corner:
    """The worst and best of all fronts that are compared: latency in milliseconds, accuracy 0 to 1."""

    slowest: float
    fastest: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Corner | None:
        """Around all evaluated trials; None where there is none."""
        shown = [row for row in rows if row.evaluated and row.latency_ms]
        if not shown:
            return None
        latencies = [row.latency_ms or 0.0 for row in shown]
        accuracies = [row.accuracy or 0.0 for row in shown]
        return cls(max(latencies), min(latencies), min(accuracies), max(accuracies))


def hypervolume(rows: Iterable[Row], corner: Corner) -> float:
    """The share of the rectangle between the corner's worst and best that the trials dominate, 0 to 1.

    1 would be a candidate that is the most accurate and the fastest of all.
    """
    width, height = corner.slowest - corner.fastest, corner.highest - corner.lowest
    if width <= 0 or height <= 0:
        return 0.0
    points = sorted((row.latency_ms or 0.0, row.accuracy or 0.0) for row in rows if row.evaluated)
    area, reached = 0.0, corner.lowest
    for latency, accuracy in points:
        if accuracy > reached:
            area += (corner.slowest - latency) * (accuracy - reached)
            reached = accuracy
    return area / (width * height)
