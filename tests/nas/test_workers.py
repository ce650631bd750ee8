"""Workers as processes: what they are given, and what becomes of a search when they die, fail or hang."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Timer
from typing import Any

import pytest

from candidates import Architecture, InputError
from nas.evaluation import Watch
from nas.flights import result_within
from nas.search import Search
from nas.stopping import Stop
from nas.workers.inline import Inline
from nas.workers.making import check_workers, own_device, seats_of, workers_of
from nas.workers.seats import Seat, Seats
from nas.workers.training import within_memory
from tests.nas.conftest import FakeMeasurement, FakeOutcome, Lab, accuracy_of


@dataclass(frozen=True)
class Training:
    """A made-up training that can be sent to a process; `notes` is where it leaves traces."""

    notes: Path
    dies: str = ""
    seconds: float = 0.0

    def __call__(self, arch: Architecture, seed: int, watch: Watch | None = None) -> FakeOutcome:
        with (self.notes / "trained").open("a") as file:
            file.write(f"{arch.id} {os.getpid()}\n")
        first = self._first(arch)
        if self.dies == "first time" and first:
            os.kill(os.getpid(), signal.SIGKILL)
        unlucky = int(arch.id, 16) % 2 == 0
        if self.dies == "always" and unlucky:
            os._exit(3)
        if self.dies == "hangs" and unlucky:
            time.sleep(600)
        time.sleep(self.seconds)
        for epoch in range(1, 5 if watch else 1):
            if (
                watch is not None
                and watch([accuracy_of(arch) * n / 4 for n in range(1, epoch + 1)])
                and epoch < 4
            ):
                return FakeOutcome(accuracy_of(arch) * epoch / 4, 1.0, stopped=True)
        return FakeOutcome(accuracy_of(arch), 1 - accuracy_of(arch))

    def _first(self, arch: Architecture) -> bool:
        try:
            (self.notes / arch.id).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def trained(self) -> list[tuple[str, int]]:
        lines = (self.notes / "trained").read_text().splitlines()
        return [(id, int(pid)) for id, pid in (line.split() for line in lines)]


@pytest.fixture
def pair() -> Iterator[Seats]:
    seats = Seats([Seat(threads=1)] * 2)
    yield seats
    seats.shutdown(wait=False)


def with_workers(lab: Lab, training: Training, seats: Seats, **more: Any) -> Search:
    settings = lab.settings(**{name: more.pop(name) for name in list(more) if hasattr(lab.settings(), name)})
    work = lab.open(settings)
    work.evaluate = replace(work.evaluate, train=training)
    work.workers = seats
    for name, value in more.items():
        setattr(work, name, value)
    return work


def test_a_dead_worker_takes_no_others_work_with_it_and_is_replaced(pair: Seats) -> None:
    slow: Future[None] = pair.submit(time.sleep, 1.0)
    dead: Future[None] = pair.submit(os._exit, 3)
    with pytest.raises(BrokenProcessPool):
        dead.result(timeout=60)
    assert slow.result(timeout=60) is None
    pids = {pair.submit(os.getpid).result(timeout=60) for _ in range(2)}
    assert os.getpid() not in pids


def test_a_worker_that_hangs_can_be_killed(pair: Seats) -> None:
    hangs: Future[None] = pair.submit(time.sleep, 600)
    pair.kill(hangs)
    with pytest.raises(BrokenProcessPool):
        hangs.result(timeout=60)
    pair.kill(hangs)  # once more does no harm


def test_a_training_that_takes_too_long_is_ended(pair: Seats) -> None:
    assert result_within(60.0, pair.submit(time.sleep, 0.01), pair) is None
    with pytest.raises(TimeoutError, match=r"it took longer than 0\.5 s"):
        result_within(0.5, pair.submit(time.sleep, 600), pair)
    waiting: Future[None] = Future()  # in a cluster's queue, whose time does not count
    Timer(1.0, waiting.set_result, (None,)).start()
    assert result_within(0.1, waiting, pair) is None


def test_workers_know_their_threads_and_cores() -> None:
    seats = Seats([Seat(threads=3, cores=frozenset([0]), environment={"CUDA_VISIBLE_DEVICES": "1"})])
    try:
        assert seats.submit(os.getenv, "OMP_NUM_THREADS").result() == "3"
        assert seats.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "1"
        assert seats.submit(os.sched_getaffinity, 0).result() == {0}
    finally:
        seats.shutdown()


def test_workers_end_with_their_search_however_it_ends() -> None:
    code = (
        "import os, time\nfrom nas.workers.seats import Seat, Seats\n"
        "if __name__ == '__main__':\n"
        "    seats = Seats([Seat()])\n"
        "    print(seats.submit(os.getpid).result(), flush=True)\n"
        "    seats.submit(time.sleep, 600)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    pid = int(found.stdout)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.1)


def test_a_search_with_two_workers_trains_two_at_once(lab: Lab, pair: Seats, tmp_path: Path) -> None:
    training = Training(tmp_path, seconds=0.2)
    work = with_workers(lab, training, pair, trials=10)
    rows = work.run(Stop(print))
    done = [row for row in rows if row.state == "COMPLETE"]
    assert len(done) == 10
    assert {row.state for row in rows} <= {"COMPLETE", "PRUNED"}
    trained = training.trained()
    assert len({pid for _, pid in trained}) == 2
    assert len(trained) == len({id for id, _ in trained}) == sum(row.evaluated for row in rows)
    points = {trial.number: trial.params for trial in work.study.trials}
    for row in done:
        assert row.accuracy == accuracy_of(work.space.decode(points[row.duplicate_of or row.number]))


def test_a_training_whose_worker_dies_is_tried_again(lab: Lab, pair: Seats, tmp_path: Path) -> None:
    training = Training(tmp_path, dies="first time")
    rows = with_workers(lab, training, pair, trials=2, retries=1).run(Stop(print))
    assert sum(row.evaluated for row in rows) == 2
    assert not [row for row in rows if row.state == "FAIL"]
    assert len(training.trained()) == 4
    assert any("is tried again: the worker's process died" in note for note in lab.progress.notes)


def test_what_fails_again_is_recorded_and_the_search_goes_on(lab: Lab, pair: Seats, tmp_path: Path) -> None:
    training = Training(tmp_path, dies="always")
    rows = with_workers(lab, training, pair, trials=4, retries=1, sampler="random").run(Stop(print))
    failed = [row for row in rows if row.state == "FAIL"]
    assert failed
    assert all("process died" in str(row.failed_because) for row in failed)
    assert sum(row.state == "COMPLETE" for row in rows) == 4


def test_a_training_that_hangs_is_ended(lab: Lab, pair: Seats, tmp_path: Path) -> None:
    training = Training(tmp_path, dies="hangs")
    work = with_workers(lab, training, pair, trials=2, retries=0, trial_timeout=8.0, sampler="random", seed=6)
    rows = work.run(Stop(print))
    failed = [row for row in rows if row.state == "FAIL"]
    assert [row.failed_because for row in failed] == ["the training took longer than 8 s"] * len(failed)
    assert failed
    assert sum(row.state == "COMPLETE" for row in rows) == 2


def test_a_training_that_hangs_is_ended_while_a_measurement_waits_for_the_cores(
    lab: Lab, pair: Seats, tmp_path: Path
) -> None:
    training = Training(tmp_path, dies="hangs")
    work = with_workers(lab, training, pair, trials=2, retries=0, trial_timeout=8.0, sampler="random", seed=6)
    plain = work.evaluate.measure

    def measure(arch: Architecture) -> Any:
        work.wait_for_all()
        return plain(arch)

    work.evaluate = replace(work.evaluate, measure=measure)
    rows = work.run(Stop(print))
    assert any(row.state == "FAIL" for row in rows)
    assert sum(row.state == "COMPLETE" for row in rows) == 2


def test_the_same_network_in_flight_is_trained_once(lab: Lab, pair: Seats, tmp_path: Path) -> None:
    training = Training(tmp_path, seconds=1.0)
    work = with_workers(lab, training, pair, trials=2)
    point = work.space.sample(random.Random(5))
    work.study.enqueue_trial(point)
    work.study.enqueue_trial(point)
    rows = work.run(Stop(print))
    twins = [row for row in rows if row.duplicate_of == 0]
    assert len(twins) == 1
    assert twins[0].accuracy == rows[0].accuracy
    ids = [id for id, _ in training.trained()]
    assert len(ids) == len(set(ids))


def test_measuring_waits_where_it_shares_cores_with_training(lab: Lab, pair: Seats, tmp_path: Path) -> None:
    training = Training(tmp_path, seconds=0.3)
    work = with_workers(lab, training, pair, trials=6, patient=True)
    overlaps = []

    def measure(arch: Architecture) -> FakeMeasurement:
        overlaps.append(sum(not future.done() for future in work.flights))
        return FakeMeasurement(lab.latency(arch))

    work.evaluate = replace(work.evaluate, measure=measure)
    work.run(Stop(print))
    assert overlaps
    assert not any(overlaps)
    assert len({pid for _, pid in training.trained()}) == 2


def test_several_devices_measure_at_once_and_no_network_twice(lab: Lab, pair: Seats, tmp_path: Path) -> None:
    training = Training(tmp_path)
    work = with_workers(
        lab, training, pair, trials=6, target_ms=1.0, max_latency_factor=3.0, sampler="random",
        measured_at_once=lambda: 2,
    )  # fmt: skip
    point = work.space.sample(random.Random(5))
    work.study.enqueue_trial(point)
    work.study.enqueue_trial(point)  # the first is still being measured when this one is asked for
    meeting, together = Barrier(2), []

    def measure(arch: Architecture) -> FakeMeasurement:
        try:
            together.append(meeting.wait(timeout=0.2))
        except BrokenBarrierError:
            meeting.reset()
        return lab.measure(arch)

    work.evaluate = replace(work.evaluate, measure=measure)
    rows = work.run(Stop(print))
    assert sum(row.state == "COMPLETE" for row in rows) == 6
    assert {row.state for row in rows} == {"COMPLETE", "PRUNED"}
    assert rows[1].duplicate_of == 0
    assert rows[1].latency_ms == rows[0].latency_ms
    assert together, "two are measured at the same time"
    assert len(lab.measured) == len(set(lab.measured))
    assert len(training.trained()) == sum(row.evaluated for row in rows)


def test_what_each_worker_does_is_told(lab: Lab, tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    seats = Seats([Seat()] * 2, lambda worker, text: said.append((worker, text)))
    try:
        rows = with_workers(lab, Training(tmp_path, seconds=0.2), seats, trials=4).run(Stop(print))
    finally:
        seats.shutdown(wait=False)
    assert {worker for worker, _ in said} == {"worker 1", "worker 2"}
    told = [text for _, text in said if text]
    assert sorted(told) == sorted(f"training {r.id} of trial {r.number}" for r in rows if r.evaluated)
    assert said[-1][1] == ""


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_workers_stop_hopeless_trainings(lab: Lab, pair: Seats, tmp_path: Path, pruner: str) -> None:
    training = Training(tmp_path)
    work = with_workers(lab, training, pair, trials=10, pruner=pruner, sampler="random", epochs=4)
    rows = work.run(Stop(print))
    assert any(row.state == "PRUNED" and 0 < row.epochs < 4 for row in rows)


def test_stopping_finishes_what_runs(lab: Lab, pair: Seats, tmp_path: Path) -> None:
    stop = Stop(print)
    training = Training(tmp_path, seconds=0.5)
    work = with_workers(lab, training, pair, trials=20)
    work.after_trial = lambda rows: setattr(stop, "asked", True)
    rows = work.run(stop)
    assert not [row for row in rows if row.state == "RUNNING"]
    assert 1 <= sum(row.state == "COMPLETE" for row in rows) <= 3


@dataclass(frozen=True)
class Recipe:
    batch: int


@dataclass(frozen=True)
class TightProxy:
    """Has memory for batches of up to `most`."""

    recipe: Recipe
    most: int
    words: str = "CUDA out of memory. Tried to allocate 2.00 GiB"

    def train(self, arch: Architecture, seed: int, watch: Watch | None = None) -> int:
        if self.recipe.batch > self.most:
            raise RuntimeError(self.words)
        return self.recipe.batch


def test_a_batch_too_large_for_the_memory_is_halved() -> None:
    arch: Any = None
    assert within_memory(TightProxy(Recipe(32), 10), arch, 0) == 8  # type: ignore[arg-type, comparison-overlap]
    with pytest.raises(RuntimeError, match="out of memory"):
        within_memory(TightProxy(Recipe(32), 1), arch, 0)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="shapes"):
        within_memory(TightProxy(Recipe(32), 1, "shapes differ"), arch, 0)  # type: ignore[arg-type]


def test_settings_decide_the_workers(lab: Lab) -> None:
    assert seats_of(lab.settings()) == []
    with workers_of(lab.settings()) as workers:
        assert isinstance(workers, Inline)
    cores = sorted(os.sched_getaffinity(0))
    four = seats_of(lab.settings(workers=4))
    assert [seat.threads for seat in four] == [max(1, len(cores) // 4)] * 4
    if len(cores) > 1:
        (seat,) = seats_of(lab.settings(measure_cores=1))
        assert seat.cores == frozenset(cores[1:])
    with pytest.raises(InputError, match="at least one has to be left for training"):
        seats_of(lab.settings(measure_cores=len(cores)))
    with pytest.raises(InputError, match="torch finds no GPU here"):
        seats_of(lab.settings(gpus="all"))


def test_each_gpu_has_its_workers(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    seats = seats_of(lab.settings(gpus="all", per_gpu=2))
    assert [seat.environment["CUDA_VISIBLE_DEVICES"] for seat in seats] == ["0", "1", "0", "1"]
    with pytest.raises(InputError, match="--gpus names '7'; expected all, or numbers from 0 to 1"):
        seats_of(lab.settings(gpus="0,7"))


def test_gpus_are_those_that_this_process_was_given(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5f")
    for gpus, given in (("all", ["3", "GPU-5f"]), ("1", ["GPU-5f"])):
        seats = seats_of(lab.settings(gpus=gpus))
        assert [seat.environment["CUDA_VISIBLE_DEVICES"] for seat in seats] == given


def test_the_search_itself_trains_on_the_first_of_its_gpus(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert own_device(lab.settings(gpus="1")) == "cuda:1"
    assert own_device(lab.settings(gpus="1", ray="auto")) == "auto"
    assert own_device(lab.settings()) == "auto"


def test_what_has_no_effect_on_the_workers_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(InputError, match="--per-gpu is 4, which is for --gpus"):
        check_workers(lab.settings(per_gpu=4))
    with pytest.raises(
        InputError, match="--workers is 8, but with --gpus so many train at once as --per-gpu"
    ):
        check_workers(lab.settings(workers=8, gpus="0"))
    check_workers(
        lab.settings(workers=8, gpus="all", ray="auto")
    )  # a cluster's tasks, each with a part of a GPU
