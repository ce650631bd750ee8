"""Timing on this machine: bursts of the model's runs in turn with bursts of a reference model.

A shared machine's speed moves by several per cent within minutes. A reference that is timed in turn moves
with it, and dividing it out leaves the model's own latency. In turn means bursts: each of the two evicts the
other from the caches, and MnasNet-A1's first runs after the change (LiteRT, 5.9 ms each) took 22, 14, 11, 8, 7,
5, 4 and 2 % longer than back to back; a 1 ms network needs four. So each burst begins with runs that are not
counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from latency.summary import Burst, is_steady, median

COUNTED = 8  # runs of a burst that count: many short bursts follow the machine better than few long ones
SHORT_MS = 3.0  # models below this get longer ones, or the reference would take nearly all of the time
SHORT_COUNTED_MS = 60.0  # how long those last
MAX_COUNTED = 1000
REFERENCE_COUNTED = 6  # of the reference, whose bursts before and after are taken together
SETTLING = 6  # runs at most that bring a model back into the caches
SETTLING_MS = 50.0  # which need not take longer
MAX_WARMUP_SECONDS = 1.0
MIN_WARMUP = 3

Inference = Callable[[], object]


@dataclass(frozen=True)
class Block:
    """One invocation's bursts, the runs its warm-up took, and the CPU that the timed runs got (1 is all).

    Of the model's runs and the reference's it is what the worse off got: other processes' turns hit a long run
    of the one and spare most short runs of the other.
    """

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


def settling(run_ms: float) -> int:
    """Runs at the start of a burst that are not counted, of a model that takes `run_ms`."""
    return max(1, min(SETTLING, round(SETTLING_MS / run_ms)))


def counted(run_ms: float) -> int:
    """Runs of a burst that count, of a model that takes `run_ms`."""
    return COUNTED if run_ms >= SHORT_MS else min(MAX_COUNTED, round(SHORT_COUNTED_MS / run_ms))


def block(infer: Inference, reference: Inference | None, min_runs: int, min_seconds: float) -> Block:
    """Warm up, then time bursts until there are `min_runs` runs and `min_seconds` of them."""
    warm = warm_up(infer)
    run_ms = median(warm[-3:])
    drop, length = settling(run_ms) if reference else 1, counted(run_ms)
    watch = Stopwatch(infer)
    watches = [watch, *([Stopwatch(reference)] if reference else [])]
    time_reference: Callable[[], float | None] = _timer_of(watches[1]) if reference else lambda: None
    times: list[list[float]] = []
    around = [time_reference()]
    count, total_ms = 0, 0.0
    while count < min_runs or total_ms < 1000.0 * min_seconds:
        burst = watch.timed(drop + length)[drop:]
        around.append(time_reference())
        times.append(burst)
        count, total_ms = count + len(burst), total_ms + sum(burst)
    bursts = tuple(
        Burst(tuple(burst), _mean(before, after))
        for burst, before, after in zip(times, around[:-1], around[1:], strict=True)
    )
    return Block(bursts, len(warm), min(watch.cpu_share for watch in watches))


@dataclass
class Stopwatch:
    """Times runs of `infer`, and adds up how much of that time this thread had the processor."""

    infer: Inference
    wall: float = 0.0
    cpu: float = 0.0

    def timed(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` calls."""
        wall, cpu = time.perf_counter(), time.thread_time()
        found = timed(self.infer, runs)
        self.wall += time.perf_counter() - wall
        self.cpu += time.thread_time() - cpu
        return found

    @property
    def cpu_share(self) -> float:
        """1 where nothing else took turns on the core."""
        return min(1.0, self.cpu / self.wall)


def _timer_of(reference: Stopwatch) -> Callable[[], float]:
    """Times one burst of the reference: its median in milliseconds."""
    run_ms = median(warm_up(reference.infer)[-3:])
    drop = settling(run_ms)
    return lambda: median(reference.timed(drop + REFERENCE_COUNTED)[drop:])


def _mean(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else (before + after) / 2
