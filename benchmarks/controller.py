"""What the search itself costs: asking and telling with very many trials, and keeping very many workers busy.

    python -m benchmarks.controller                        10,000 finished trials in SQLite (and, where
                                                           NAS_POSTGRES is set, PostgreSQL)
    python -m benchmarks.controller --busy                 1,000 simulated workers, a simulated clock

The first prints milliseconds for a trial, the storage's and our bookkeeping's share apart from the sampler's.
The second takes the real cost of every proposal as it is and simulates trainings of 60 s (drawn from recorded
ones, scaled); it prints the share of the workers' time that was spent training.
"""

from __future__ import annotations

import heapq
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import typer
from optuna.trial import TrialState

from nas import samplers
from nas.evaluation import Evaluator
from nas.prepared import limits_of
from nas.run import too_slow
from nas.run_folder import RunFolder, create
from nas.search import Search
from nas.settings import SearchSettings
from nas.stopping import Stop
from nas.study import close, open_study
from search_space import parse_space, space_text

SPACE = "mnasnet"
# Seconds of trainings of random mnasnet networks, five epochs of 4,000 CIFAR-10 images on two cores.
RECORDED = (48.1, 50.2, 51.4, 52.0, 54.7, 55.3, 57.9, 58.8, 60.4, 63.1, 66.0, 71.5, 78.2)
MEAN_SECONDS = 60.0
WINDOW = (120.0, 300.0)  # simulated seconds that count: the workers have all begun by then


class Silent:
    """A Progress that shows nothing."""

    def trial(self, row: Any, rows: Any) -> None:
        """A trial has ended."""

    def note(self, text: str) -> None:
        """Something to know."""


class Instant:
    """Measurements and trainings that take no time."""

    valid = True
    stopped = False
    loss = 1.0

    def __init__(self, latency_ms: float = 0.0, accuracy: float = 0.0) -> None:
        self.latency_ms, self.accuracy = latency_ms, accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"latency_ms": self.latency_ms, "valid": True, "reasons": []}


def main(
    trials: int = 10_000,
    measured: int = 200,
    busy: bool = False,
    workers: int = 1000,
    sampler: str = "random,surrogate",
) -> None:
    """Print what asking and telling costs, or (--busy) how busy many workers are kept."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = sampler.split(",")
    if busy:
        _busy(names, workers)
        return
    print(f"{trials} finished trials of {SPACE}; the median over {measured} more, in ms")
    print("storage       sampler      a trial   of it the sampler   storage and bookkeeping")
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            _cost("SQLite", Path(temporary) / name, {}, name, trials, measured)
    if os.environ.get("NAS_POSTGRES"):
        from tests.nas.postgres import running

        with running(Path(os.environ["NAS_POSTGRES"])) as server, tempfile.TemporaryDirectory() as temporary:
            for name in names:
                place = {"storage": server.url, "study": name}
                _cost("PostgreSQL", Path(temporary) / name, place, name, trials, measured)


def _search(path: Path, more: dict[str, Any], name: str, trials: int) -> tuple[Search, list[float]]:
    """A search whose evaluations take no time, and the seconds that its sampler takes."""
    settings = SearchSettings(100.0, device="cpu", sampler=name, trials=trials, resolution=32, **more)
    space = parse_space(space_text(SPACE), SPACE)
    folder: RunFolder = create(path, settings, space_text(SPACE), {"name": "cpu"})
    inner = samplers.make(name, space, seed=0, weight=lambda ms: (ms / 100.0) ** -0.07)
    spent: list[float] = []
    plain = inner.sample_relative

    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        try:
            return plain(*args)
        finally:
            spent.append(time.perf_counter() - start)

    inner.sample_relative = timed  # type: ignore[method-assign]
    study = open_study(folder.database, inner, "soft", create=True)
    evaluate = Evaluator(
        deploy=lambda base: base.for_input(32, 3, 10),
        measure=lambda arch: Instant(latency_ms=arch.multiply_adds() / 1e6),
        train=lambda arch, seed, watch=None: Instant(accuracy=1 - 1 / (1 + arch.parameters() / 1e6)),
        too_slow=too_slow(settings),
        seed=0,
    )
    return Search(folder, study, space, evaluate, {}, Silent(), limits=limits_of(settings)), spent


def _cost(storage: str, path: Path, more: dict[str, Any], name: str, trials: int, measured: int) -> None:
    work, spent = _search(path, more, name, trials)
    _fill(work, trials)
    ends = [time.perf_counter()]
    work.after_trial = lambda rows: ends.append(time.perf_counter())
    work.folder = work.folder.with_record(
        settings=replace(work.folder.settings, trials=trials + measured).to_dict()
    )
    work.run(Stop(print))
    close(work.study)
    each = np.diff(ends)[5:] * 1e3
    sampling = np.array(spent[-len(each) :]) * 1e3
    print(
        f"{storage:12}  {name:10}  {each.mean():8.1f}   {sampling.mean():17.1f}   {(each - sampling).mean():23.1f}"
        f"   (medians {np.median(each):.1f}, {np.median(sampling):.1f})",
        flush=True,
    )


def _fill(work: Search, count: int) -> None:
    """Put finished trials into the study, as a search leaves them."""
    rng, space = np.random.default_rng(1), work.space
    distributions = {
        choice.name: optuna.distributions.CategoricalDistribution(choice.values) for choice in space.choices
    }
    from nas.trials import architecture_text

    for start in range(0, count, 1000):
        batch = []
        for _ in range(start, min(count, start + 1000)):
            point = space.sample(rng)
            arch = work.evaluate.deploy(space.decode(point))
            latency, accuracy = arch.multiply_adds() / 1e6, 1 - 1 / (1 + arch.parameters() / 1e6)
            attrs = {
                "id": arch.id, "architecture": architecture_text(arch), "parameters": arch.parameters(),
                "multiply_adds": arch.multiply_adds(), "latency_ms": latency, "accuracy": accuracy, "loss": 1.0,
                "measurement": Instant(latency).to_dict(), "reward": accuracy, "measuring_seconds": 1.0,
                "training_seconds": 60.0,
            }  # fmt: skip
            batch.append(
                optuna.trial.create_trial(
                    state=TrialState.COMPLETE,
                    params=dict(point),
                    distributions=distributions,
                    value=accuracy,
                    user_attrs=attrs,
                )
            )
        work.study.add_trials(batch)


def _busy(names: list[str], workers: int) -> None:
    """Simulate: a worker that is free gets what the search proposes, which takes as long as it really takes."""
    first, last = WINDOW
    print(
        f"{workers} workers, trainings of {MEAN_SECONDS:.0f} s on average, from {first:.0f} s to {last:.0f} s"
    )
    print("sampler      busy   proposals   seconds for one (median, largest)")
    scale = MEAN_SECONDS / statistics.mean(RECORDED)
    for name in names:
        rng = np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as temporary:
            work, _ = _search(Path(temporary) / "run", {}, name, 10**6)
            clock, trained, proposals = 0.0, 0.0, []
            free = [(0.0, number) for number in range(workers)]
            flying: dict[int, Any] = {}
            heapq.heapify(free)
            while clock < last:
                at, number = heapq.heappop(free)
                clock = max(clock, at)
                start = time.perf_counter()
                if number in flying:
                    done = flying.pop(number)
                    evaluation = work.evaluate.training(done.watch)(done.base, done.measured)
                    work._tell(done.trial, evaluation, done.measured.attributes())
                    work._refreshed()
                flight = work._prepare(work.study.ask(), [])
                proposals.append(time.perf_counter() - start)
                clock += proposals[-1]
                seconds = 0.0
                if flight is not None:
                    seconds = float(rng.choice(RECORDED)) * scale
                    flying[number] = flight
                    trained += max(0.0, min(last, clock + seconds) - max(first, clock))
                heapq.heappush(free, (clock + seconds, number))
            close(work.study)
        share = trained / (workers * (last - first))
        print(
            f"{name:10} {share:6.1%}   {len(proposals):9d}   {statistics.median(proposals):.3f}, {max(proposals):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
