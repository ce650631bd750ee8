"""A search on a shared study with made-up trainings, in a process of its own."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import nas.heartbeat
import nas.storage
from candidates import Architecture
from nas.evaluation import Watch
from nas.heartbeat import Heartbeat
from nas.stopping import Stop
from nas.workers.inline import Inline
from nas.workers.seats import Seat, Seats
from tests.nas.conftest import FakeOutcome, Lab, accuracy_of

GRACE = 4


@dataclass(frozen=True)
class Slow:
    """A training that takes a while and is noted in a file."""

    notes: Path
    seconds: float

    def __call__(self, arch: Architecture, seed: int, watch: Watch | None = None) -> FakeOutcome:
        time.sleep(self.seconds)
        with self.notes.open("a") as file:
            file.write(f"{arch.id}\n")
        return FakeOutcome(accuracy_of(arch), 1 - accuracy_of(arch))


def main(folder: str, url: str, trials: str, seconds: str, workers: str, seed: str, sampler: str) -> None:
    """Join the study and search until so many trials are complete."""
    nas.storage.HEARTBEAT_SECONDS, nas.storage.GRACE_SECONDS, nas.heartbeat.GRACE_SECONDS = 1, GRACE, GRACE
    path = Path(folder)
    lab = Lab(path / "run")
    place = nas.storage.server_place(url, "shared")
    settings = lab.settings(
        storage=place.url,
        study="shared",
        trials=int(trials),
        seed=int(seed),
        retries=5,
        target_ms=30.0,
        sampler=sampler,
    )
    work = lab.open(settings)
    work = replace(work, heartbeat=Heartbeat(work.study, seconds=1))
    work.evaluate = replace(work.evaluate, train=Slow(path / "trained", float(seconds)))
    work.workers = Seats([Seat()] * int(workers)) if int(workers) else Inline()
    try:
        rows = work.run(Stop(print))
    finally:
        work.heartbeat.close()
        work.workers.shutdown(wait=False)  # type: ignore[attr-defined]
    print(f"{sum(row.state == 'COMPLETE' for row in rows)} complete", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
