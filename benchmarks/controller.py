"""What the search itself costs: asking and telling with very many trials, and keeping very many workers busy.

    python -m benchmarks.controller                        10,000 finished trials in SQLite (and, where
                                                           NAS_POSTGRES is set, PostgreSQL)
    python -m benchmarks.controller --busy                 1,000 simulated workers, a simulated clock

Both run the search's own loop, with its progress, log and run folder; only measurements and trainings take no
time. The first prints milliseconds for a trial, the sampler's share apart from the storage's and our bookkeeping, and
how much of a trial was this process's own use of the processor (a database server's comes on top).
In the second all that the search does takes as long as it really takes, and trainings (their lengths drawn from
recorded ones, scaled to a mean of 60 s) pass on a clock of their own. On a machine that others use too,
`--processor` takes the seconds of the processor that the search used for those that it took.
"""

from __future__ import annotations

import heapq
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import typer
from optuna.samplers import BaseSampler

from benchmarks.filling import Ended, fill
from benchmarks.searching import SPACE, Instant, measure, searching
from nas import samplers
from nas.search import Search
from nas.settings import SearchSettings
from nas.stopping import Stop
from nas.storage import server_place
from nas.trials import architecture_text
from search_space import FactorizedSpace, parse_space, space_text

# Seconds of the trainings that docs/benchmarks.md lists (`python -m benchmarks.proxy --spread`).
RECORDED = (
    23.6, 25.7, 31.7, 21.5, 29.3, 20.0, 29.9, 36.4, 21.9, 24.0, 24.7, 23.9, 33.4, 29.5, 15.5, 16.1, 33.8, 19.8,
    19.3, 11.7,
)  # fmt: skip
MEAN_SECONDS = 60.0
WINDOW = (120.0, 300.0)  # simulated seconds that count: the workers have all begun by then


def train(arch: Any, seed: int, watch: Any = None) -> Instant:
    return Instant(accuracy=1 - 1 / (1 + arch.parameters() / 1e6))


class Timed(BaseSampler):
    """A sampler that keeps count of the seconds that it takes."""

    def __init__(self, inner: BaseSampler) -> None:
        self.seconds = 0.0
        for name in (
            "infer_relative_search_space", "sample_relative", "sample_independent", "before_trial", "after_trial",
        ):  # fmt: skip
            setattr(self, name, self._timed(getattr(inner, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*args)
            finally:
                self.seconds += time.perf_counter() - start

        return timed

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any: ...

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any: ...

    def sample_independent(self, study: Any, trial: Any, param_name: Any, param_distribution: Any) -> Any: ...


class Clock:
    """The seconds that `passed` counts, and those that were skipped because there was nothing to do but wait."""

    def __init__(self, passed: Callable[[], float]) -> None:
        self._passed, self._start, self._skipped = passed, passed(), 0.0

    def now(self) -> float:
        return self._passed() - self._start + self._skipped

    def skip_to(self, then: float) -> None:
        self._skipped += max(0.0, then - self.now())


class SimulatedWorkers:
    """Workers whose trainings take time on `clock` alone; `spans` has each one's beginning and end."""

    def __init__(self, count: int, clock: Clock) -> None:
        self.count, self.clock = count, clock
        self.spans: list[tuple[float, float]] = []
        self._running: list[tuple[float, int, Future[Any], Callable[[], Any]]] = []
        self._rng = np.random.default_rng(0)
        self._scale = MEAN_SECONDS / statistics.mean(RECORDED)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        begin = self.clock.now()
        end = begin + float(self._rng.choice(RECORDED)) * self._scale
        self.spans.append((begin, end))
        heapq.heappush(self._running, (end, len(self.spans), future, lambda: fn(*args, **kwargs)))
        return future

    def kill(self, future: Future[Any]) -> None:
        raise AssertionError("no training here takes too long")

    def finish_due(self) -> None:
        """Wait for the first training to end, and end all whose time has come."""
        self.clock.skip_to(self._running[0][0])
        while self._running and self._running[0][0] <= self.clock.now():
            _, _, future, work = heapq.heappop(self._running)
            future.set_result(work())

    def busy(self, first: float, last: float) -> float:
        """The share of the workers' time from `first` to `last` that was spent training."""
        spent = sum(max(0.0, min(last, end) - max(first, begin)) for begin, end in self.spans)
        return spent / (self.count * (last - first))


class Over(Exception):
    """The simulated time is over."""


@dataclass
class Simulated(Search):
    """The search, with workers whose time is simulated up to `last`."""

    last: float = 0.0

    def _ended(self) -> set[Future[Any]]:
        assert isinstance(self.workers, SimulatedWorkers)
        self.workers.finish_due()
        if self.workers.clock.now() > self.last:
            raise Over
        return super()._ended()


def main(
    trials: int = 10_000,
    measured: int = 300,
    busy: bool = False,
    workers: int = 1000,
    seconds: float = WINDOW[1],
    sampler: str = "random,surrogate",
    processor: bool = False,
) -> None:
    """Print what asking and telling costs, or (--busy) how busy many workers are kept."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = sampler.split(",")
    if busy:
        passed = time.process_time if processor else time.perf_counter
        _busy(names, workers, (min(WINDOW[0], seconds / 2), seconds), passed)
        return
    print(
        f"{trials} finished trials of {SPACE}; the mean over {measured} more, in ms (in brackets the median)"
    )
    print(
        "storage      sampler       a trial             the sampler     storage and bookkeeping   processor",
        flush=True,
    )
    archived = _archive(trials)
    for name in names:
        _cost("SQLite", {}, name, archived, measured)
    if os.environ.get("NAS_POSTGRES"):
        from tests.nas.postgres import running

        with running(Path(os.environ["NAS_POSTGRES"])) as server:
            for name in names:
                place = server_place(server.url, name)
                _cost("PostgreSQL", {"storage": place.url, "study": name}, name, archived, measured)


@contextmanager
def _search(kind: type[Search], name: str, trials: int, storage: dict[str, Any]) -> Iterator[Any]:
    """A search whose evaluations take no time, and its sampler."""
    settings = SearchSettings(
        100.0, device="cpu", sampler=name, trials=trials, resolution=32, max_latency_factor=1e6, **storage
    )
    timed: list[Timed] = []

    def sampler(space: FactorizedSpace) -> Timed:
        made = samplers.make(name, space, seed=0, weight=lambda ms: (ms / 100.0) ** -0.07, limit=1e8)
        timed.append(Timed(made))
        return timed[0]

    with searching(settings, sampler, train, kind) as work:
        yield work, timed[0]


def _cost(storage: str, place: dict[str, Any], name: str, archived: list[Ended], measured: int) -> None:
    with _search(Search, name, len(archived) + measured, place) as (work, timed):
        fill(work.study, {choice.name: choice.values for choice in work.space.choices}, archived)
        marks = []

        def mark(rows: object) -> None:
            marks.append((time.perf_counter(), timed.seconds, time.process_time()))

        work.after_trial = mark
        work.run(Stop(print))
    each, own, processor = (np.diff([mark[part] for mark in marks]) * 1e3 for part in (0, 1, 2))
    cells = [f"{part.mean():6.1f} ({np.median(part):6.1f})" for part in (each, own, each - own)]
    print(
        f"{storage:11}  {name:10} {cells[0]:>17}  {cells[1]:>18}  {cells[2]:>22}   {processor.mean():9.1f}",
        flush=True,
    )


def _archive(count: int) -> list[Ended]:
    """Finished trials, as a search leaves them."""
    rng, space = np.random.default_rng(1), parse_space(space_text(SPACE), SPACE)
    found = []
    for _ in range(count):
        point = space.sample(rng)
        arch = space.decode(point).for_input(32, 3, 10)
        latency, accuracy = measure(arch), train(arch, 0).accuracy
        reward = accuracy * (latency.latency_ms / 100.0) ** -0.07
        attrs = {
            "id": arch.id, "architecture": architecture_text(arch), "parameters": arch.parameters(),
            "multiply_adds": arch.multiply_adds(), "latency_ms": latency.latency_ms, "accuracy": accuracy,
            "loss": 1.0, "measurement": latency.to_dict(), "reward": reward, "measuring_seconds": 1.0,
            "training_seconds": 60.0,
        }  # fmt: skip
        found.append(Ended(point, "COMPLETE", attrs, [reward]))
    return found


def _busy(names: list[str], workers: int, window: tuple[float, float], passed: Callable[[], float]) -> None:
    first, last = window
    print(
        f"{workers} workers, trainings of {MEAN_SECONDS:.0f} s on average, from {first:.0f} s to {last:.0f} s, SQLite"
        + ("; the processor's seconds" if passed is time.process_time else "")
    )
    print("sampler       busy   trials   ms for a trial   of it the sampler", flush=True)
    for name in names:
        with _search(Simulated, name, 10**6, {}) as (work, timed):
            work.workers, work.last = SimulatedWorkers(workers, Clock(passed)), last
            start = passed()
            with suppress(Over):
                work.run(Stop(print))
            took, trials = passed() - start, len(work.workers.spans)
            print(
                f"{name:10} {work.workers.busy(first, last):6.1%}   {trials:6d}   {1e3 * took / trials:14.1f}   "
                f"{1e3 * timed.seconds / trials:17.1f}",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(main)
