"""Whether this machine's CPU measures alike while four workers train and while none does.

    python -m benchmarks.measuring_while_searching         12 pairs on an otherwise idle machine

Each pair is one measurement alone and one while four workers train on the other cores, at once after another and
the first of them in turn. It prints the ratios and their median, and ends with 1 where that is a tenth or more
from 1. Needs two cores; says so where something else loaded the machine, since nothing was measured alone then.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import typer

from candidates import zoo
from nas import cpu
from nas.prepared import prepare
from nas.settings import SearchSettings
from nas.workers.making import workers_of

WORKERS = 4
MEASURED = "mnasnet-small"
MOST = 0.10


@dataclass(frozen=True)
class Pair:
    """Milliseconds alone and while others trained, and whether the one alone was alone."""

    alone_ms: float
    together_ms: float
    undisturbed: bool

    @property
    def ratio(self) -> float:
        """Above 1 where the trainings were in the way."""
        return self.together_ms / self.alone_ms


def pairs(space: str = "mnasnet", samples: int = 400) -> Iterator[Pair]:
    """Pairs without end, by four workers that train real proxies on all cores but the first."""
    settings = SearchSettings(
        target_ms=10.0, space=space, device="cpu", epochs=1, proxy_samples=samples, workers=WORKERS,
        measure_cores=1,
    )  # fmt: skip
    prepared = prepare(settings)
    middle = {choice.name: choice.values[len(choice.values) // 2] for choice in prepared.space.choices}
    trained, measured = prepared.space.decode(middle), zoo.load(MEASURED)

    def measure() -> Any:
        return prepared.measure_on(prepared.device, measured)

    with workers_of(settings) as workers:

        def train() -> Future[Any]:
            return workers.submit(prepared.training, trained, 0)

        wait([train() for _ in range(WORKERS)])  # they have started
        measure()
        while True:
            alone = measure()
            with _trainings(train):
                together = measure()
            yield Pair(alone.latency_ms, together.latency_ms, alone.valid)


@contextmanager
def _trainings(train: Callable[[], Future[Any]]) -> Iterator[None]:
    """As many trainings as there are workers, at any moment of the block."""
    flying = [train() for _ in range(WORKERS)]
    over = Event()

    def go_on() -> None:
        while not over.is_set():
            for future in wait(flying, timeout=0.1, return_when=FIRST_COMPLETED).done:
                future.result()
                flying[flying.index(future)] = train()

    thread = Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for future in wait(flying).done:
            future.result()


def main(count: int = 12) -> None:
    """Print the table."""
    cpu.prepare()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("needs two cores: one to measure on, the other to train on")
    print(f"{MEASURED}, 1 thread, {WORKERS} workers training on the other cores\n")
    print(f"{'alone ms':>9}  {'with trainings ms':>17}  {'ratio':>6}  alone was")
    found = []
    for _, pair in zip(range(count), pairs(), strict=False):
        found.append(pair)
        words = "undisturbed" if pair.undisturbed else "disturbed by something else"
        print(f"{pair.alone_ms:>9.3f}  {pair.together_ms:>17.3f}  {pair.ratio:>6.3f}  {words}", flush=True)
    ratio = statistics.median(pair.ratio for pair in found)
    print(f"\nmedian ratio {ratio:.3f} (n = {count}); expected within {MOST:.0%} of 1")
    raise SystemExit(abs(ratio - 1.0) >= MOST)


if __name__ == "__main__":
    typer.run(main)
