"""Fitting a predictor: non-negative least squares on relative errors.

Two stages. First what a group of operations takes: from a profile of the measured architectures where there
is one (times of thousands of groups: a table of those seen, coefficients for the rest), otherwise from the
whole latencies alone. Then one factor for each kind of group, fitted to the whole latencies and drawn towards
one common factor, since a profile's times are not those of an undisturbed run:

    minimise  Σ ((x·s − y) / y)²  +  ridge · n · Σ (share · (s − s₀))²      with s ≥ 0

Another device's predictor takes the first stage's place when few samples are all there is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from candidates import Architecture, InputError
from latency.features import SETS, Group
from latency.predictor import Predictor

RIDGE = 1e-4  # of coefficients fitted to whole latencies
PROFILE_RIDGE = 1e-4  # of coefficients fitted to a profile
SCALE_RIDGE = 1e-2  # of the kinds' factors
FLOOR_MS = 0.02  # errors of groups far below this do not matter
MIN_SAMPLES = 6
FOLDS = 10


@dataclass(frozen=True)
class Sample:
    """A measured architecture: its groups, its latency and, where profiled, each group's milliseconds.

    Profile times are scaled to the latency, which divides out the profiler's cost and the machine's drift.
    """

    groups: tuple[Group, ...]
    latency_ms: float
    group_ms: tuple[float, ...] = ()


def sample(
    arch: Architecture,
    latency_ms: float,
    features: str = "fine",
    operation_ms: Mapping[int, float] | None = None,
) -> Sample:
    """A Sample; `operation_ms` are a profile's milliseconds by the operation's index."""
    if not (np.isfinite(latency_ms) and latency_ms > 0):
        raise InputError(f"a latency to fit to is {latency_ms!r}; expected a number above 0")
    groups = tuple(SETS[features](arch))
    if not operation_ms:
        return Sample(groups, latency_ms)
    times = [sum(operation_ms.get(i, 0.0) for i in group.operations) for group in groups]
    total = sum(times)
    return Sample(groups, latency_ms, tuple(t * latency_ms / total for t in times))


@dataclass(frozen=True)
class Parts:
    """The first stage's result: what single groups take."""

    coefficients: Mapping[str, float]
    table: Mapping[str, float]


def fit_predictor(
    samples: Sequence[Sample], features: str = "fine", prior: Predictor | None = None, **about: Any
) -> Predictor:
    """A Predictor fitted to `samples`; `about` are its descriptive fields (device, threads, …).

    With `prior`, another device's predictor, only the kinds' factors are fitted: few samples suffice. Its
    spreads come from cross-validation, so they are the errors on architectures that were not seen.
    """
    if len(samples) < MIN_SAMPLES:
        raise InputError(
            f"{len(samples)} architectures are too few to fit to; expected at least {MIN_SAMPLES}"
        )
    if prior is not None:
        features = prior.features
    parts = _parts(samples, prior)
    kinds = tuple(sorted({g.kind for s in samples for g in s.groups} | set(prior.scales if prior else ())))
    x = kind_times(samples, parts, kinds)
    y = np.array([s.latency_ms for s in samples])
    scales, precision = solve_scales(x, y)
    rows = x * scales / y[:, None]
    leverages = np.einsum("ni,ij,nj->n", rows, precision, rows)
    errors = cross_validate(samples, prior)
    unlisted = cross_validate(samples, prior, listed=False) if parts.table else errors
    return Predictor(
        features=features,
        coefficients=dict(parts.coefficients),
        table=dict(parts.table),
        scales=dict(zip(kinds, map(float, scales), strict=True)),
        spread=_rms(errors),
        spread_unlisted=_rms(unlisted),
        precision=tuple(tuple(map(float, row)) for row in precision),
        leverage=float(leverages.max()),
        range_ms=(float(y.min()), float(y.max())),
        samples=len(samples),
        **about,
    )


def _rms(errors: np.ndarray) -> float:
    # Robust: one architecture that was disturbed while it was measured is not the model's error.
    return float(max(np.quantile(np.abs(errors), 0.683), 1e-3))


def _parts(samples: Sequence[Sample], prior: Predictor | None) -> Parts:
    if prior is not None:
        return Parts(prior.coefficients, prior.table)
    if all(s.group_ms for s in samples):
        return _from_profiles(samples)
    names, x = design(samples)
    y = np.array([s.latency_ms for s in samples])
    return Parts(dict(zip(names, map(float, solve(x, y, RIDGE)), strict=True)), {})


def _from_profiles(samples: Sequence[Sample]) -> Parts:
    times: dict[str, list[float]] = {}
    groups: dict[str, Group] = {}
    for s in samples:
        for group, ms in zip(s.groups, s.group_ms, strict=True):
            times.setdefault(group.signature, []).append(ms)
            groups[group.signature] = group
    table = {signature: float(np.median(ms)) for signature, ms in times.items()}
    values = {signature: group.features for signature, group in groups.items()}
    names = tuple(sorted({name for features in values.values() for name in features}))
    x = np.array([[values[s].get(name, 0.0) for name in names] for s in table])
    y = np.array(list(table.values()))
    weights = np.sqrt([len(times[s]) for s in table]) / (y + FLOOR_MS)
    return Parts(dict(zip(names, map(float, _nnls(x, y, weights, PROFILE_RIDGE)), strict=True)), table)


def kind_times(samples: Sequence[Sample], parts: Parts, kinds: Sequence[str]) -> np.ndarray:
    """Milliseconds by kind (n × kinds) that `parts` give, before the factors."""
    place = {kind: index for index, kind in enumerate(kinds)}
    x = np.zeros((len(samples), len(kinds)))
    for row, s in enumerate(samples):
        for group in s.groups:
            ms = parts.table.get(group.signature)
            if ms is None:
                ms = sum(v * parts.coefficients.get(name, 0.0) for name, v in group.features.items())
            if group.kind in place:
                x[row, place[group.kind]] += ms
    return x


def solve_scales(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kinds' factors, and the inverse Gram matrix over the kinds' shares (see Predictor)."""
    rows = x / y[:, None]
    common = float(np.median(1.0 / np.maximum(rows.sum(axis=1), 1e-9)))
    share = np.maximum(rows.mean(axis=0) * common, 1e-3)
    strength = np.sqrt(SCALE_RIDGE * len(y)) * np.sqrt(share)
    tall = np.vstack([rows * common, np.diag(strength)])
    target = np.concatenate([np.ones(len(y)), strength])
    factors = _solve(tall, target)
    scaled = np.vstack([rows * common * factors, np.diag(strength)])
    inverse: np.ndarray = np.linalg.inv(scaled.T @ scaled)
    scales: np.ndarray = factors * common
    return scales, inverse


def design(samples: Sequence[Sample]) -> tuple[tuple[str, ...], np.ndarray]:
    """The features' names and their sums over each architecture's groups (n × d)."""
    rows = []
    for s in samples:
        row: dict[str, float] = {}
        for group in s.groups:
            for name, value in group.features.items():
                row[name] = row.get(name, 0.0) + value
        rows.append(row)
    names = tuple(sorted({name for row in rows for name in row}))
    return names, np.array([[row.get(name, 0.0) for name in names] for row in rows])


def solve(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Non-negative coefficients (d) of `y` (n) on `x` (n × d), relative errors."""
    return _nnls(x, y, 1.0 / y, ridge)


def _nnls(x: np.ndarray, y: np.ndarray, weights: np.ndarray, ridge: float) -> np.ndarray:
    rows = x * weights[:, None]
    scale = np.maximum(rows.mean(axis=0), 1e-12)
    strength = np.sqrt(ridge * len(y))
    tall = np.vstack([rows / scale, strength * np.eye(x.shape[1])])
    target = np.concatenate([y * weights, np.zeros(x.shape[1])])
    found: np.ndarray = _solve(tall, target) / scale
    return found


def _solve(tall: np.ndarray, target: np.ndarray) -> np.ndarray:
    from scipy.optimize import nnls

    found: np.ndarray = nnls(tall, target, maxiter=100 * tall.shape[1])[0]
    return found


def cross_validate(
    samples: Sequence[Sample], prior: Predictor | None = None, listed: bool = True, folds: int = FOLDS
) -> np.ndarray:
    """Relative errors (n) of predictions made without the sample in question; `listed` with the table."""
    errors = np.zeros(len(samples))
    order = np.random.default_rng(0).permutation(len(samples))
    for part in np.array_split(order, min(folds, len(samples))):
        rest = [samples[i] for i in order if i not in set(part)]
        held = [samples[i] for i in part]
        errors[part] = held_out(rest, held, prior, listed)
    return errors


def held_out(
    fitted: Sequence[Sample], held: Sequence[Sample], prior: Predictor | None = None, listed: bool = True
) -> np.ndarray:
    """Relative errors on `held` of a fit to `fitted`."""
    parts = _parts(fitted, prior)
    parts = parts if listed else replace(parts, table={})
    kinds = tuple(sorted({g.kind for s in fitted for g in s.groups}))
    y = np.array([s.latency_ms for s in fitted])
    scales, _ = solve_scales(kind_times(fitted, parts, kinds), y)
    predicted = kind_times(held, parts, kinds) @ scales
    errors: np.ndarray = predicted / np.array([s.latency_ms for s in held]) - 1.0
    return errors


def quality(predicted: Sequence[float], measured: Sequence[float]) -> dict[str, float | None]:
    """How good predictions are: RMSPE, shares within ±5 % and ±10 %, Spearman's rank correlation (None
    where two or fewer, or all alike, have none), count."""
    from scipy.stats import spearmanr

    p, m = np.array(predicted), np.array(measured)
    errors = p / m - 1.0
    rank = float(spearmanr(p, m).statistic) if len(p) > 2 else math.nan
    return {
        "count": len(p),
        "within_5": float(np.mean(np.abs(errors) <= 0.05)),
        "within_10": float(np.mean(np.abs(errors) <= 0.10)),
        "rmspe": float(np.sqrt(np.mean(errors**2))),
        "spearman": rank if math.isfinite(rank) else None,
    }
