"""Statistics of timed runs: plain functions on lists of milliseconds.

The median, not the mean, with quantiles and a robust spread: one preempted run must not move the number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MAX_CV = 0.10  # above these a measurement is flagged
MAX_DRIFT = 0.10


def quantile(values: Sequence[float], q: float) -> float:
    """The `q`-quantile (0 to 1) with linear interpolation, as numpy's default; `values` is not empty."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    return quantile(values, 0.5)


def robust_cv(values: Sequence[float]) -> float:
    """IQR / 1.349 / median: the coefficient of variation where the values are normal, immune to outliers."""
    return (quantile(values, 0.75) - quantile(values, 0.25)) / 1.349 / median(values)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """A distribution-free confidence interval of the median, from order statistics.

    With under six values no pair of them reaches 95 %; the whole range is given then.
    """
    ordered, n = sorted(values), len(values)
    outside, rank = 0.0, 0
    while rank < n // 2:
        outside += 2.0 * math.comb(n, rank) * 0.5**n if n < 1000 else _normal_pmf(n, rank) * 2.0
        if outside > 1.0 - confidence:
            break
        rank += 1
    low = max(rank - 1, 0)
    return ordered[low], ordered[n - 1 - low]


def _normal_pmf(n: int, rank: int) -> float:
    spread = math.sqrt(n) / 2
    return math.exp(-0.5 * ((rank - n / 2) / spread) ** 2) / (spread * math.sqrt(2 * math.pi))


def is_steady(times: Sequence[float], window: int = 4, tolerance: float = 0.02) -> bool:
    """Whether warm-up is over: the last `window` runs are no faster than the `window` before them.

    Windows are compared by their medians; the last may be faster by `tolerance` at most.
    """
    if len(times) < 2 * window:
        return False
    last, before = median(times[-window:]), median(times[-2 * window : -window])
    return last >= before * (1.0 - tolerance)


@dataclass(frozen=True)
class Burst:
    """Consecutive timed runs in milliseconds, and the reference's median in the bursts around them."""

    times_ms: tuple[float, ...]
    reference_ms: float | None = None


@dataclass(frozen=True)
class Summary:
    """What a Measurement says of its times; see there."""

    latency_ms: float
    p5_ms: float
    p95_ms: float
    cv: float
    count: int
    interval_ms: tuple[float, float]
    block_medians_ms: tuple[float, ...]
    raw_ms: float
    reference_ms: float | None
    drift: float | None


def summarise(blocks: Sequence[Sequence[Burst]], session_reference_ms: float | None = None) -> Summary:
    """Summarise blocks of bursts, each burst's times divided by how slow the reference was around it.

    `session_reference_ms` is the reference's speed to refer to; by default its median in these bursts.
    """
    references = [b.reference_ms for block in blocks for b in block if b.reference_ms is not None]
    own_reference = median(references) if references else None
    base = session_reference_ms or own_reference
    corrected = [
        [
            [t if base is None or b.reference_ms is None else t * base / b.reference_ms for t in b.times_ms]
            for b in block
        ]
        for block in blocks
    ]
    block_medians = tuple(median([t for burst in block for t in burst]) for block in corrected)
    every = [t for block in corrected for burst in block for t in burst]
    burst_medians = [median(burst) for block in corrected for burst in block]
    # Runs within a burst are alike, so bursts are what counts as independent; a single one gives its runs.
    low, high = median_interval(burst_medians if len(burst_medians) > 1 else every)
    latency = median(block_medians)
    return Summary(
        latency_ms=latency,
        p5_ms=quantile(every, 0.05),
        p95_ms=quantile(every, 0.95),
        cv=robust_cv(every),
        count=len(every),
        interval_ms=(min(low, latency), max(high, latency)),
        block_medians_ms=block_medians,
        raw_ms=median([median([t for b in block for t in b.times_ms]) for block in blocks]),
        reference_ms=own_reference,
        drift=drift(references) if references else None,
    )


def drift(references: Sequence[float]) -> float:
    """How far the reference moved from one third of the measurement to another, over its median.

    Thirds, since single bursts scatter without the machine having drifted.
    """
    thirds = [references[len(references) * i // 3 : len(references) * (i + 1) // 3] for i in range(3)]
    medians = [median(third) for third in thirds if third]
    return (max(medians) - min(medians)) / median(references)


def objections(cv: float, moved: float | None, count: int, min_runs: int) -> list[str]:
    """What speaks against a measurement by its times alone, as sentences."""
    found = []
    if cv > MAX_CV:
        found.append(f"the runs vary by {cv:.0%} (CV; at most {MAX_CV:.0%} is sound)")
    if moved is not None and moved > MAX_DRIFT:
        found.append(f"the reference model moved by {moved:.0%} meanwhile (at most {MAX_DRIFT:.0%} is sound)")
    if count < min_runs:
        found.append(f"only {count} timed runs (at least {min_runs} are asked for)")
    return found
