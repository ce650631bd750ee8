"""What a second worker brings: trials per minute of 2 workers of 1 thread against 1 worker of 1 thread.

    python -m benchmarks.workers

The search's own loop and its worker processes, real proxy trainings; latencies are known beforehand. The two
take turns, with the same candidates in both. Nothing else should run meanwhile.
"""

from __future__ import annotations

import os
import statistics
import time

import numpy as np
import optuna
import typer

from benchmarks.searching import SPACE, searching
from nas import samplers
from nas.settings import SearchSettings
from nas.stopping import Stop
from nas.workers.seats import Seat, Seats
from nas.workers.training import ProxyTraining


def main(
    trials: int = 16,
    pairs: int = 3,
    workers: int = 2,
    data: str = "digits",
    samples: int | None = None,
    epochs: int = 1,
) -> None:
    """Print trials per minute with one worker and with several, in turn."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    training = ProxyTraining(data, None, samples, epochs)
    print(
        f"{trials} trials of {SPACE}, {data}, {epochs} epochs each, {os.cpu_count()} cores; trials per minute"
    )
    print(f"pair   1 worker   {workers} workers   ratio   load before", flush=True)
    teams = {count: Seats([Seat(1)] * count) for count in (1, workers)}
    try:
        for team in teams.values():  # the processes start and load the data
            for future in [team.submit(_ready, training) for _ in range(team.count)]:
                future.result()
        ratios = []
        for pair in range(pairs):
            load = os.getloadavg()[0]
            order = (1, workers) if pair % 2 == 0 else (workers, 1)
            speed = {count: _speed(teams[count], training, trials, pair) for count in order}
            ratios.append(speed[workers] / speed[1])
            print(
                f"{pair + 1:4d}   {speed[1]:8.2f}   {speed[workers]:9.2f}   {ratios[-1]:5.2f}   {load:11.2f}",
                flush=True,
            )
    finally:
        for team in teams.values():
            team.shutdown()
    print(f"median ratio {statistics.median(ratios):.2f} (at least 1.7 wanted of 2 on two cores)")


def _ready(training: ProxyTraining) -> None:
    training.proxy()
    time.sleep(1.0)  # so that another worker takes the next one


def _speed(team: Seats, training: ProxyTraining, trials: int, seed: int) -> float:
    """Trials per minute of a search on `team`."""
    settings = SearchSettings(
        1e6, device="cpu", sampler="random", trials=trials, seed=seed, resolution=32, workers=team.count
    )
    with searching(settings, lambda space: samplers.make("random", space, seed=seed), training) as work:
        work.workers = team
        rng = np.random.default_rng(seed)
        for _ in range(trials):
            work.study.enqueue_trial(work.space.sample(rng))
        start = time.perf_counter()
        rows = work.run(Stop(print))
        took = time.perf_counter() - start
    failed = [row.failed_because for row in rows if row.failed_because]
    assert not failed, failed[0]
    return 60 * sum(row.evaluated for row in rows) / took


if __name__ == "__main__":
    typer.run(main)
