"""The reward that the search maximises."""

from __future__ import annotations

from candidates import checks

SOFT = (-0.07, -0.07)
HARD = (0.0, -1.0)


def reward(
    accuracy: float, latency_ms: float, target_ms: float, alpha: float = -0.07, beta: float = -0.07
) -> float:
    """ACC · (LAT / T)^w, with w = `alpha` where the latency is within the target and `beta` where it is not.

    The defaults are the soft reward: twice the latency costs what 5 % of relative accuracy buys. Hard:
    alpha 0, beta −1. `accuracy` is from 0 to 1, latencies are in milliseconds (arXiv 1807.11626v3, eq. 2).
    """
    ratio = checks.positive("latency_ms", latency_ms) / checks.positive("target_ms", target_ms)
    return float(accuracy * ratio ** (alpha if ratio <= 1 else beta))
