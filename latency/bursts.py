"""Timing on this machine: bursts of the model's runs in turn with bursts of a reference model.

A shared machine's speed moves by several per cent within minutes. A reference that is timed in turn moves
with it, and dividing it out leaves the model's own latency. In turn means bursts: single runs in turn let
the reference evict a small model from the cache, so each burst has at least 8 runs (16 below 3 ms), the
first of which is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from latency.summary import Burst, is_steady, median

BURST = 8
SHORT_BURST = 16
SHORT_MS = 3.0  # models below this get the longer bursts
MAX_WARMUP_SECONDS = 1.0
MIN_WARMUP = 3
BURST_MS = 30.0  # a small model's burst lasts as long, and a reference's need not take longer
MAX_BURST = 1000

Inference = Callable[[], object]


@dataclass(frozen=True)
class Block:
    """One invocation's bursts, the runs its warm-up took, and the CPU that the timed runs got (1 is all)."""

    bursts: tuple[Burst, ...]
    warmup: int
    cpu_share: float


def timed(infer: Inference, runs: int) -> list[float]:
    """Milliseconds of each of `runs` calls."""
    clock = time.perf_counter_ns
    times = [0] * runs
    for index in range(runs):
        start = clock()
        infer()
        times[index] = clock() - start
    return [t / 1e6 for t in times]


def warm_up(infer: Inference, max_seconds: float = MAX_WARMUP_SECONDS) -> list[float]:
    """Run until runs get no faster, or `max_seconds` have passed; the times in milliseconds."""
    deadline = time.perf_counter() + max_seconds
    times = timed(infer, MIN_WARMUP)
    while not is_steady(times) and time.perf_counter() < deadline:
        times += timed(infer, 1)
    return times


def burst_length(run_ms: float) -> int:
    """Runs in a burst of a model that takes `run_ms`, the dropped one included."""
    if run_ms >= SHORT_MS:
        return BURST
    return max(SHORT_BURST, min(MAX_BURST, round(BURST_MS / run_ms) + 1))


def reference_length(run_ms: float) -> int:
    """Runs in a burst of the reference: three at least, of which the first is dropped."""
    return max(3, min(SHORT_BURST, round(BURST_MS / run_ms) + 1))


def block(infer: Inference, reference: Inference | None, min_runs: int, min_seconds: float) -> Block:
    """Warm up, then time bursts until there are `min_runs` runs and `min_seconds` of them."""
    warm = warm_up(infer)
    length = burst_length(median(warm[-3:]))
    reference_runs = 0
    if reference is not None:
        reference_runs = reference_length(median(warm_up(reference)[-3:]))
    times: list[list[float]] = []
    around = [_reference_ms(reference, reference_runs)]
    count, total_ms, wall, cpu = 0, 0.0, 0.0, 0.0
    while count < min_runs or total_ms < 1000.0 * min_seconds:
        wall_start, cpu_start = time.perf_counter(), time.thread_time()
        burst = timed(infer, length)[1:]
        wall, cpu = wall + time.perf_counter() - wall_start, cpu + time.thread_time() - cpu_start
        around.append(_reference_ms(reference, reference_runs))
        times.append(burst)
        count, total_ms = count + len(burst), total_ms + sum(burst)
    bursts = tuple(
        Burst(tuple(burst), _mean(before, after))
        for burst, before, after in zip(times, around[:-1], around[1:], strict=True)
    )
    return Block(bursts, len(warm), min(1.0, cpu / wall))


def _reference_ms(reference: Inference | None, runs: int) -> float | None:
    return None if reference is None else median(timed(reference, runs)[1:])


def _mean(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else (before + after) / 2
