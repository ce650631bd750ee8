"""What a candidate can be expected to bring, in closed form.

Each function returns the logarithm of an expected improvement, continued below what floating point resolves,
so that a search has a slope to follow everywhere (after LogEI, Ament et al., arXiv 2310.20708).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from nas.samplers.gaussian_process import Array

_TINY = 1e-15


def log_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Expected improvement of a normal value (n) over `best`."""
    away = (mean - best) / deviation
    return _log(deviation * (away * norm.cdf(away) + norm.pdf(away)), -away)


def log_reward_improvement(mean: Array, deviation: Array, weight: Array, best: float) -> Array:
    """Expected improvement of weight · (1 − exp(−g)) over `best`, with g normal: −log(error) as modelled."""
    improvement, away = _reward_improvement(mean, deviation, weight, np.array([best]))
    return _log(improvement[:, 0], away[:, 0])


def log_front_improvement(
    mean: Array, deviation: Array, latency: Array, front: Array, reference: tuple[float, float], error: bool
) -> Array:
    """Expected growth of the area that a front covers, for candidates whose latency (n) is known.

    `front` (k × 2) holds (value, latency) and `reference` the worst value and latency that count. As the
    latency is known, the area grows by a sum over the front's steps: the step's length in latency times the
    expected improvement over its value. `error` says that the mean is of −log(1 − value).
    """
    reach, worst = reference[1], reference[0]
    kept = pareto_front(front[(front[:, 0] > worst) & (front[:, 1] < reach)])
    edges = np.concatenate([[-np.inf], kept[:, 1], [reach]])
    levels = np.concatenate([[worst], kept[:, 0]])
    lengths = np.clip(edges[None, 1:] - np.maximum(edges[None, :-1], latency[:, None]), 0.0, None)
    if error:
        gains, _ = _reward_improvement(mean, deviation, np.ones_like(mean), levels)
    else:
        away = (mean[:, None] - levels) / deviation[:, None]
        gains = deviation[:, None] * (away * norm.cdf(away) + norm.pdf(away))
    return np.asarray(np.log((lengths * gains).sum(axis=1) + 1e-300))


def pareto_front(pairs: Array) -> Array:
    """The (value, latency) rows that no other row beats in both, by rising latency."""
    ordered = pairs[np.lexsort((-pairs[:, 0], pairs[:, 1]))]
    kept, best = [], -np.inf
    for row in ordered:
        if row[0] > best:
            kept.append(row)
            best = row[0]
    return np.array(kept).reshape(-1, 2)


def _reward_improvement(mean: Array, deviation: Array, weight: Array, best: Array) -> tuple[Array, Array]:
    """E[(w(1 − e^−g) − b)+] (n × k), and by how many deviations g falls short of b."""
    m, s, w = mean[:, None], deviation[:, None], weight[:, None]
    reachable = best < w * (1 - 1e-12)
    threshold = -np.log(np.where(reachable, 1.0 - best / w, 1.0))
    away = np.where(reachable, (threshold - m) / s, 1e3)
    above = (w - best) * norm.cdf(-away)
    lost = w * np.exp(s**2 / 2 - m) * norm.cdf(-away - s)
    return np.where(reachable, np.maximum(above - lost, 0.0), 0.0), away


def _log(improvement: Array, away: Array) -> Array:
    far = np.log(_TINY) - 0.5 * np.maximum(away, 0.0) ** 2
    return np.where(
        improvement > _TINY, np.log(np.maximum(improvement, _TINY)), np.minimum(far, np.log(_TINY))
    )
