"""Fits the Gaussian process to a study's observations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nas.samplers.encoding import Encoding
from nas.samplers.gaussian_process import (
    Array,
    GaussianProcess,
    Hyperparameters,
    condition,
    fit_hyperparameters,
)
from nas.samplers.history import Observation
from nas.samplers.view import View
from search_space import Point

OWN = 0.5
"""How much of what the smooth part leaves of an observation is taken to be the architecture's own.

One observation each cannot tell an architecture's peculiarity from its noise; a half is the even guess.
"""

_LEAST_ERROR = 1e-4  # an accuracy of 1 counts as this error, since its logarithm would be infinite
_MOST_FITTED = 200  # observations that decide the hyperparameters; more change them little and cost n³


@dataclass(frozen=True)
class Fitted:
    """The process of −log(error) (where `error`) or of the objective, given the observations."""

    encoding: Encoding
    process: GaussianProcess
    targets: Array
    error: bool

    def predict(self, points: Sequence[Point]) -> tuple[Array, Array]:
        """Mean and standard deviation of the modelled quantity."""
        return self.process.predict(self.encoding.rows(points))

    def joint(self, points: Sequence[Point]) -> tuple[Array, Array]:
        """Mean and covariance of the modelled quantity."""
        return self.process.joint(self.encoding.rows(points))

    def smooth(self) -> Array:
        """The accuracies (or objectives) of the observations as the process has them, without their noise."""
        return self._unlogged(self.process.predict(self.process.inputs[: len(self.targets)])[0])

    def estimates(self, noise: float | None) -> Array:
        """The accuracies (or objectives) of the observations: their smooth part and OWN of the rest.

        With the `noise` of one accuracy known, it decides instead how much of the rest is not noise.
        """
        count = len(self.targets)
        smooth, _ = self.process.predict(self.process.inputs[:count])
        own: float | Array = OWN
        if noise is not None:
            unit = noise * np.exp(smooth) if self.error else noise
            own = np.clip(1.0 - (unit / self.process.noise) ** 2, 0.0, 1.0)
        return self._unlogged(smooth + own * (self.targets - smooth))

    def _unlogged(self, values: Array) -> Array:
        return 1.0 - np.exp(-values) if self.error else values

    def believing(self, pending: Sequence[Point]) -> Fitted:
        """As if the points in flight had given what is expected of them, so that others are tried."""
        rows = self.encoding.rows(pending)
        mean, _ = self.process.predict(rows)
        process = condition(
            np.concatenate([self.process.inputs, rows]),
            np.concatenate([self.targets, mean]),
            self.process.groups,
            self.process.theta,
            (self.process.mean, self.process.scale),  # believed values are no news of how far targets spread
        )
        return Fitted(self.encoding, process, self.targets, self.error)


@dataclass
class Fitter:
    """Fits processes over one view, keeping hyperparameters between calls.

    They are fitted at certain numbers of observations only, to the observations up to there, so that they
    are a function of the history however often it was asked for.
    """

    view: View
    encoding: Encoding
    _kept: dict[str, tuple[bytes, Hyperparameters]] = field(default_factory=dict)

    def fit(self, evaluated: Sequence[Observation]) -> Fitted:
        """The process of the accuracy where every observation has one, else of the first objective."""
        error = all(found.accuracy is not None for found in evaluated)
        if error:
            errors = [1.0 - (found.accuracy or 0.0) for found in evaluated]
            targets = -np.log(np.clip(errors, _LEAST_ERROR, 1.0))
        else:
            targets = np.array([found.values[0] for found in evaluated if found.values is not None])
        process = self._process("objective", [found.point for found in evaluated], targets)
        return Fitted(self.encoding, process, targets, error)

    def smooth(
        self, name: str, points: Sequence[Point], targets: Sequence[float] | Array
    ) -> Callable[[Sequence[Point]], Array]:
        """A function of points through the `targets` at `points`; `name` tells what it is from others."""
        process = self._process(name, points, np.asarray(targets, dtype=float))
        return lambda wanted: process.predict(self.encoding.rows(wanted))[0]

    def _process(self, name: str, points: Sequence[Point], targets: Array) -> GaussianProcess:
        rows = self.encoding.rows(points)
        until = milestone(len(targets))
        key = targets[:until].tobytes() + rows[:until].tobytes()
        if self._kept.get(name, (b"",))[0] != key:
            step = -(-until // _MOST_FITTED)
            theta = fit_hyperparameters(rows[:until:step], targets[:until:step], self.encoding.groups)
            self._kept[name] = (key, theta)
        return condition(rows, targets, self.encoding.groups, self._kept[name][1])


def milestone(count: int) -> int:
    """The last number of observations, up to `count`, at which hyperparameters are fitted."""
    for start, every in ((1000, 250), (200, 50), (50, 10), (20, 5)):
        if count >= start:
            return count - count % every
    return count
