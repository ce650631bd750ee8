"""A small Gaussian process: a linear part for effects that add up, a Matérn part for what they leave.

The kernel is a·⟨x, x'⟩ + b·Matérn-5/2(|x − x'| / ℓ) + noise, with one length scale ℓ for each group of
columns (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapters 2, 4 and 5). Its
hyperparameters maximise the likelihood times priors; those of the length scales grow with the square root of
the number of groups (Hvarfner et al., arXiv 2402.02229), which keeps 40 dimensions usable with 20
observations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

_JITTER = 1e-8
_STEPS = 40  # of L-BFGS; the likelihood is flat long before
_BOUNDS = {"linear": (-9.0, 4.0), "matern": (-7.0, 3.0), "noise": (-9.0, 1.0), "scale": (-2.5, 5.0)}
# Mean and standard deviation of the priors on the logarithms (targets have variance 1).
_LINEAR_PRIOR = (-1.0, 1.5)
_MATERN_PRIOR = (-1.0, 1.0)
_NOISE_PRIOR = (-4.0, 2.0)  # wide: proxies are anything from exact to nearly useless
_SCALE_SPREAD = 1.0


@dataclass(frozen=True)
class Hyperparameters:
    """Logarithms of the variances (targets have variance 1) and of each group's length scale."""

    linear: float
    matern: float
    noise: float
    scales: Array

    def vector(self) -> Array:
        return np.array([self.linear, self.matern, self.noise, *self.scales])


@dataclass(frozen=True)
class Groups:
    """Which columns share a length scale: `of_column[c]` is the group of column c."""

    of_column: NDArray[np.int64]

    @property
    def count(self) -> int:
        return int(self.of_column.max()) + 1 if len(self.of_column) else 0

    def sums(self, columns: Array) -> Array:
        return np.bincount(self.of_column, weights=columns, minlength=self.count).astype(np.float64)


@dataclass(frozen=True)
class GaussianProcess:
    """A process conditioned on inputs (n × d) and standardised targets (n)."""

    inputs: Array
    groups: Groups
    theta: Hyperparameters
    mean: float
    scale: float
    _factor: Any = field(repr=False)
    _weights: Array = field(repr=False)

    def predict(self, inputs: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (both n) of the noiseless function at `inputs` (n × d)."""
        linear, _, matern, _ = _parts(inputs, self.inputs, self.groups, self.theta)
        cross = linear + matern
        lower = solve_triangular(self._factor[0], cross.T, lower=True, check_finite=False)
        prior = np.exp(self.theta.linear) * _squares(inputs) / inputs.shape[1] + np.exp(self.theta.matern)
        variance = np.maximum(prior - (lower**2).sum(axis=0), 1e-12)
        return self.mean + self.scale * (cross @ self._weights), self.scale * np.sqrt(variance)

    def joint(self, inputs: Array) -> tuple[Array, Array]:
        """Mean (n) and covariance (n × n) of the noiseless function at `inputs` (n × d)."""
        linear, _, matern, _ = _parts(inputs, self.inputs, self.groups, self.theta)
        cross = linear + matern
        lower = solve_triangular(self._factor[0], cross.T, lower=True, check_finite=False)
        linear, _, matern, _ = _parts(inputs, inputs, self.groups, self.theta)
        covariance = linear + matern - lower.T @ lower
        return self.mean + self.scale * (cross @ self._weights), self.scale**2 * covariance

    @property
    def noise(self) -> float:
        """Standard deviation of the noise in one observation, in the targets' unit."""
        return float(self.scale * np.exp(self.theta.noise / 2))


def fit_hyperparameters(inputs: Array, targets: Array, groups: Groups) -> Hyperparameters:
    """The maximum of likelihood times priors, found from the priors' centre."""
    standard = (targets - targets.mean()) / _spread(targets)
    centre = Hyperparameters(
        _LINEAR_PRIOR[0], _MATERN_PRIOR[0], _NOISE_PRIOR[0], np.full(groups.count, _scale_prior(groups))
    )
    bounds = [_BOUNDS["linear"], _BOUNDS["matern"], _BOUNDS["noise"], *[_BOUNDS["scale"]] * groups.count]
    found = minimize(
        _loss,
        centre.vector(),
        args=(inputs, standard, groups),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _STEPS},
    )
    return _named(found.x)


def condition(
    inputs: Array,
    targets: Array,
    groups: Groups,
    theta: Hyperparameters,
    standard: tuple[float, float] | None = None,
) -> GaussianProcess:
    """The process given the observations. `standard` are the targets' mean and deviation that `theta` is for."""
    mean, scale = standard or (float(targets.mean()), _spread(targets))
    factor = cho_factor(_covariance(inputs, groups, theta), lower=True, check_finite=False)
    weights = cho_solve(factor, (targets - mean) / scale, check_finite=False)
    return GaussianProcess(inputs, groups, theta, mean, scale, factor, weights)


def _named(vector: Array) -> Hyperparameters:
    linear, matern, noise = (float(value) for value in vector[:3])
    return Hyperparameters(linear, matern, noise, vector[3:])


def _loss(vector: Array, inputs: Array, targets: Array, groups: Groups) -> tuple[float, Array]:
    """Negative logarithm of likelihood times priors, and its gradient."""
    theta = _named(vector)
    linear, scaled, matern, slope = _parts(inputs, inputs, groups, theta)
    noise = np.exp(theta.noise)
    covariance = linear + matern
    covariance[np.diag_indices_from(covariance)] += noise + _JITTER
    try:
        factor = cho_factor(covariance, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(vector)
    inverse = cho_solve(factor, np.eye(len(targets)), check_finite=False)
    weights = inverse @ targets
    loss = 0.5 * targets @ weights + np.log(np.diag(factor[0])).sum()
    outer = 0.5 * (inverse - np.outer(weights, weights))
    pull = outer * slope
    columns = 2.0 * (pull.sum(axis=1) @ scaled**2 - (scaled * (pull @ scaled)).sum(axis=0))
    gradient = np.array(
        [(outer * linear).sum(), (outer * matern).sum(), noise * np.trace(outer), *groups.sums(columns)]
    )
    means = np.array(
        [_LINEAR_PRIOR[0], _MATERN_PRIOR[0], _NOISE_PRIOR[0]] + [_scale_prior(groups)] * groups.count
    )
    spreads = np.array([_LINEAR_PRIOR[1], _MATERN_PRIOR[1], _NOISE_PRIOR[1]] + [_SCALE_SPREAD] * groups.count)
    away = (vector - means) / spreads
    return float(loss + 0.5 * away @ away), gradient + away / spreads


def _parts(
    left: Array, right: Array, groups: Groups, theta: Hyperparameters
) -> tuple[Array, Array, Array, Array]:
    """Linear covariance, `left` over the length scales, Matérn covariance, and its slope −2 ∂/∂r²."""
    scales = np.exp(theta.scales)[groups.of_column]
    a, b = left / scales, right / scales
    distance = np.sqrt(np.maximum(_squares(a)[:, None] + _squares(b)[None, :] - 2.0 * a @ b.T, 0.0))
    root = np.sqrt(5.0) * distance
    decay = np.exp(theta.matern) * np.exp(-root)
    matern = (1.0 + root + root**2 / 3.0) * decay
    slope = (5.0 / 3.0) * (1.0 + root) * decay
    linear = np.exp(theta.linear) * (left @ right.T) / left.shape[1]
    return linear, a, matern, slope


def _covariance(inputs: Array, groups: Groups, theta: Hyperparameters) -> Array:
    linear, _, matern, _ = _parts(inputs, inputs, groups, theta)
    covariance = linear + matern
    covariance[np.diag_indices_from(covariance)] += np.exp(theta.noise) + _JITTER
    return np.asarray(covariance)


def _squares(rows: Array) -> Array:
    return np.asarray((rows**2).sum(axis=1))


def _scale_prior(groups: Groups) -> float:
    return float(0.5 * np.log(max(1, groups.count)))


def _spread(targets: Array) -> float:
    spread = float(targets.std())
    return spread if spread > 1e-12 else 1.0
