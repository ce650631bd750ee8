"""Fitting a predictor: non-negative least squares on relative errors, drawn towards a prior.

    minimise  Σ ((x·w − y) / y)²  +  ridge · Σ ((w − w₀) / s)²      with w ≥ 0

where s is what a coefficient would be if its feature alone made up the latency. Without a prior w₀ is the
solution of a first, weakly drawn fit shrunk to nothing (0); with another device's predictor it is that one's
coefficients times the median ratio of the two devices, so that few samples suffice to adapt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from candidates import Architecture, InputError
from latency.features import SETS
from latency.predictor import Predictor

RIDGE = 1e-3
PRIOR_RIDGE = 3e-2
MIN_SAMPLES = 6
FOLDS = 10


@dataclass(frozen=True)
class Fit:
    """Coefficients (d), the inverse Gram matrix (d × d) and the rows' leverages (n)."""

    names: tuple[str, ...]
    coefficients: np.ndarray
    precision: np.ndarray
    leverages: np.ndarray


def fit_predictor(
    archs: Sequence[Architecture],
    latencies_ms: Sequence[float],
    features: str = "fine",
    prior: Predictor | None = None,
    **about: Any,
) -> Predictor:
    """A Predictor fitted to `latencies_ms` of `archs`; `about` are its descriptive fields (device, …).

    Its `spread` comes from cross-validation, so it is the error on architectures that were not seen.
    """
    if len(archs) != len(latencies_ms) or len(archs) < MIN_SAMPLES:
        raise InputError(f"{len(archs)} architectures are too few to fit to; expected at least {MIN_SAMPLES}")
    if prior is not None:
        features = prior.features
    y = np.array(latencies_ms, dtype=float)
    if not np.all(np.isfinite(y)) or np.any(y <= 0):
        raise InputError("a latency to fit to is not a positive number")
    names, x = design(archs, features, prior)
    found = solve(names, x, y, prior)
    errors = cross_validate(names, x, y, prior)
    return Predictor(
        features=features,
        coefficients=dict(zip(names, map(float, found.coefficients), strict=True)),
        spread=float(np.sqrt(np.mean(errors**2))),
        precision=tuple(tuple(map(float, row)) for row in found.precision),
        leverage=float(found.leverages.max()),
        range_ms=(float(y.min()), float(y.max())),
        samples=len(archs),
        **about,
    )


def design(
    archs: Sequence[Architecture], features: str, prior: Predictor | None = None
) -> tuple[tuple[str, ...], np.ndarray]:
    """The features' names and the n × d matrix of their values."""
    rows = [SETS[features](arch) for arch in archs]
    names = {name for row in rows for name in row} | set(prior.coefficients if prior else ())
    ordered = tuple(sorted(names))
    return ordered, np.array([[row.get(name, 0.0) for name in ordered] for row in rows])


def solve(names: tuple[str, ...], x: np.ndarray, y: np.ndarray, prior: Predictor | None = None) -> Fit:
    """The non-negative fit of `y` (n) to `x` (n × d)."""
    from scipy.optimize import nnls

    rows = x / y[:, None]
    scale = np.maximum(rows.mean(axis=0), 1e-12)  # of a feature, per millisecond
    centre = np.zeros(len(names))
    ridge = RIDGE
    if prior is not None:
        before = np.array([prior.coefficients.get(name, 0.0) for name in names])
        ratio = np.median(1.0 / np.maximum(rows @ before, 1e-12))
        centre, ridge = before * ratio * scale, PRIOR_RIDGE
    strength = np.sqrt(ridge * len(y))
    tall = np.vstack([rows / scale, strength * np.eye(len(names))])
    target = np.concatenate([np.ones(len(y)), strength * centre])
    weights, _ = nnls(tall, target, maxiter=50 * len(names))
    precision = np.linalg.inv(tall.T @ tall) / np.outer(scale, scale)
    leverages = np.einsum("ni,ij,nj->n", rows, precision, rows)
    return Fit(names, weights / scale, precision, leverages)


def cross_validate(
    names: tuple[str, ...], x: np.ndarray, y: np.ndarray, prior: Predictor | None = None, folds: int = FOLDS
) -> np.ndarray:
    """Relative errors (n) of predictions made without the row in question."""
    errors = np.zeros(len(y))
    order = np.random.default_rng(0).permutation(len(y))
    for part in np.array_split(order, min(folds, len(y))):
        rest = np.setdiff1d(order, part)
        found = solve(names, x[rest], y[rest], prior)
        errors[part] = x[part] @ found.coefficients / y[part] - 1.0
    return errors


def quality(predicted: Sequence[float], measured: Sequence[float]) -> dict[str, float]:
    """How good predictions are: RMSPE, shares within ±5 % and ±10 %, Spearman's rank correlation, count."""
    from scipy.stats import spearmanr

    p, m = np.array(predicted), np.array(measured)
    errors = p / m - 1.0
    rank = float(spearmanr(p, m).statistic) if len(p) > 2 else float("nan")
    return {
        "count": len(p),
        "within_5": float(np.mean(np.abs(errors) <= 0.05)),
        "within_10": float(np.mean(np.abs(errors) <= 0.10)),
        "rmspe": float(np.sqrt(np.mean(errors**2))),
        "spearman": rank,
    }
