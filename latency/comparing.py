"""Comparing models: measured in turn, with a confidence interval on the ratio of their latencies."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from candidates import InputError
from latency.device import Device
from latency.measurement import Measurement
from latency.model import Model
from latency.settings import Settings
from latency.summary import median, quantile

ROUNDS = 8
RESAMPLES = 4000


@dataclass(frozen=True)
class Comparison:
    """`model` against the first one: the median of the rounds' ratios and its 95 % interval."""

    model: str
    baseline: str
    ratio: float
    interval: tuple[float, float]
    rounds: int

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 1."""
        return not self.interval[0] <= 1.0 <= self.interval[1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": 1, **asdict(self), "differs": self.differs}


def compare(
    models: Sequence[tuple[Model, Device]], settings: Settings, rounds: int = ROUNDS
) -> tuple[list[Measurement], list[Comparison]]:
    """Measure each model on its device in each of `rounds` rounds, in turns of order; each round gives one ratio.

    Returns each model's measurement of median latency, and the others' comparisons with the first.
    """
    if len(models) < 2:
        raise InputError(f"--compare has {len(models)} model; expected at least two")
    found: list[list[Measurement]] = [[] for _ in models]
    with ExitStack() as opened:
        for device in {id(device): device for _, device in models}.values():
            opened.enter_context(device.opened())
        for number in range(rounds):
            order = range(len(models)) if number % 2 == 0 else reversed(range(len(models)))
            for index in order:
                model, device = models[index]
                found[index].append(device.measure(model, settings))
    baseline = models[0][0].name
    comparisons = []
    for (model, _), measured in zip(models[1:], found[1:], strict=True):
        ratios = [a.latency_ms / b.latency_ms for a, b in zip(measured, found[0], strict=True)]
        comparisons.append(Comparison(model.name, baseline, median(ratios), interval(ratios), rounds))
    return [middle(m) for m in found], comparisons


def middle(found: Sequence[Measurement]) -> Measurement:
    """The measurement of median latency."""
    return sorted(found, key=lambda m: m.latency_ms)[len(found) // 2]


def interval(ratios: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """A 95 % bootstrap interval of the median of `ratios`."""
    rng = random.Random(seed)
    medians = [median(rng.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)]
    return quantile(medians, 0.025), quantile(medians, 0.975)
