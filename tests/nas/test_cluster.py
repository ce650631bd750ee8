"""Trainings and devices on a real Ray cluster of several nodes, some of which die."""

from __future__ import annotations

import io
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

import latency
import latency.pool
from candidates import Architecture, InputError, RunError, zoo
from latency.model import Model, model_of
from latency.pool import Pool
from latency.settings import Settings
from nas.candidate import Candidate
from nas.data import load_data
from nas.devices import find_device, is_host
from nas.prepared import levelled, prepare
from nas.recipe import Recipe
from nas.run import new_run, search
from nas.run_folder import open_run
from nas.settings import SearchSettings
from nas.stopping import Stop
from nas.train_best import Plan, one_by_one, train_best
from nas.trainer import session
from nas.trainer.checkpoints import checkpoint_paths
from nas.trainer.recipe import Recipe as TrainRecipe
from nas.workers.board import Board
from nas.workers.cluster import ClusterTraining, RayWorkers
from nas.workers.cluster_devices import Keepers, RemoteDevice, cluster_pool
from nas.workers.full_training import Cluster, receive
from nas.workers.training import ProxyTraining
from tests.nas.conftest import SPACE, FakeMeasurement, Lab, Recorder
from tests.nas.processes import BRIEFLY
from tests.nas.test_train_best import row as best_row
from tests.nas.test_workers import Training
from tests.nas.trainer.conftest import TINY, save_photos

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    checks = {  # a death is seen after 3 s
        "health_check_period_ms": 1000, "health_check_timeout_ms": 1000, "health_check_failure_threshold": 3,
    }  # fmt: skip
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": checks}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1)
    ray.init(address=made.address, logging_level=logging.ERROR, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def board(cluster: Any) -> Iterator[Any]:
    """A node that trains nothing, on which `board` hangs: its own CPU."""
    node = cluster.add_node(num_cpus=0, resources={"device:board=cpu": 1})
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


def where() -> str:
    time.sleep(1.0)
    return str(ray.get_runtime_context().get_node_id())


def test_tasks_run_on_every_node_at_once(cluster: Any) -> None:
    with RayWorkers("auto", 2) as workers:
        found = {future.result(timeout=150) for future in [workers.submit(where) for _ in range(2)]}
    assert len(found) == 2


def test_a_task_runs_from_when_a_node_has_it(cluster: Any) -> None:
    with RayWorkers("auto", 4) as workers:
        futures = [workers.submit(time.sleep, 2.0) for _ in range(4)]  # on two cores
        wait(futures, timeout=150, return_when=FIRST_COMPLETED)
        assert not all(future.running() or future.done() for future in futures)
        for future in futures:
            future.result(timeout=150)


def test_a_task_can_be_killed_and_an_error_arrives(cluster: Any) -> None:
    with RayWorkers("auto", 2) as workers:
        hangs: Future[None] = workers.submit(time.sleep, 600)
        time.sleep(2.0)
        workers.kill(hangs)
        assert isinstance(hangs.exception(timeout=150), RunError)
        fails: Future[float] = workers.submit(float, "no number")
        with pytest.raises(ValueError, match=r"^could not convert string to float: 'no number'$"):
            fails.result(timeout=150)


def test_a_search_survives_the_death_of_a_node(cluster: Any, lab: Lab, tmp_path: Path) -> None:
    extra = cluster.add_node(num_cpus=1)
    training = Training(tmp_path, seconds=1.0)
    work = lab.open(lab.settings(trials=12, retries=3))
    work.evaluate = replace(work.evaluate, train=training)
    work.workers = workers = RayWorkers("auto", 3)
    ended = []

    def after(rows: Any) -> None:
        ended.append(len(rows))
        if len(ended) == 3:
            cluster.remove_node(extra, allow_graceful=False)

    work.after_trial = after
    rows = work.run(Stop(print))
    workers.shutdown()
    assert sum(row.state == "COMPLETE" for row in rows) == 12
    evaluated = [row.id for row in rows if row.evaluated]
    assert len(evaluated) == len(set(evaluated))


def test_what_tasks_say_comes_here_whichever_node_dies(cluster: Any) -> None:
    extra = cluster.add_node(num_cpus=0)
    boards = [Board(ray, {"double": lambda number: 2 * number}) for _ in range(4)]
    assert [board.line.ask("double", number) for number, board in enumerate(boards)] == [0, 2, 4, 6]
    kill(cluster, extra)
    assert [board.line.ask("double", number) for number, board in enumerate(boards)] == [0, 2, 4, 6]
    for board in boards:
        board.close()


def test_the_data_go_through_the_object_store(cluster: Any) -> None:
    """The same seed gives what a training in this process gives, and no node reads the files."""
    data = load_data("digits", None, 200)
    arch = zoo.load("mnasnet-small")
    with RayWorkers("auto", 1) as workers:
        task = ClusterTraining(workers.shared(data), Recipe(epochs=1))
        found = workers.submit(task, arch, 0).result(timeout=120)
    here = ProxyTraining("digits", None, 200, 1)(arch, 0)
    # The number of threads may differ, and with it the last digits.
    assert np.isclose(found.loss, here.loss, rtol=0.05)


SMALL = zoo.load("mnasnet-small")
SHORT = Settings(blocks=1, min_runs=10, min_seconds=0.05)


def pool_of(name: str, seconds: float = 30.0) -> Pool:
    pool = cluster_pool("auto", name, seconds)
    assert pool is not None
    return pool


def kill(cluster: Any, node: Any) -> None:
    """End a node as a power cut does, and wait until the cluster has seen it."""
    cluster.remove_node(node, allow_graceful=False)
    deadline = time.monotonic() + 60
    while any(found["Alive"] and found["NodeID"] == node.node_id for found in ray.nodes()):
        assert time.monotonic() < deadline, "the node counts as alive"
        time.sleep(0.1)


def test_a_device_is_measured_on_the_node_that_it_hangs_on(cluster: Any, board: Any) -> None:
    pool, again = pool_of("board"), pool_of("board")
    found = pool.measure(model_of(SMALL), SHORT)
    assert found.device == "board"
    assert found.count >= 10
    assert found.digest == f"architecture:{SMALL.id}"
    assert board.node_id in found.conditions["pool"]["member"]
    assert {"cpu_share", "others_load"} <= found.conditions.keys()
    one, other = (next(iter(p.members.values())) for p in (pool, again))
    assert isinstance(one, RemoteDevice)
    assert isinstance(other, RemoteDevice)
    assert one.actor._actor_id == other.actor._actor_id  # whoever asks gets the same one
    assert not one.shares_cores  # nothing is trained on that node
    assert pool.operation_times(SMALL, 1)


def test_what_is_wrong_there_arrives_in_one_line(cluster: Any, board: Any) -> None:
    ghost = cluster.add_node(num_cpus=0, resources={"device:ghost": 1})
    try:
        with pytest.raises(InputError, match=r"^ghost on .*: device 'ghost' matches no attached phone.*$"):
            pool_of("ghost").measure(model_of(SMALL), SHORT)
        with pytest.raises(InputError, match=r"^cannot read /no/such.onnx: No such file or directory$"):
            pool_of("board").measure(Model("file", Path("/no/such.onnx")), SHORT)
    finally:
        cluster.remove_node(ghost)


def test_what_hangs_on_no_node_is_measured_here_and_that_is_said(cluster: Any, lab: Lab) -> None:
    notes: list[str] = []
    found = find_device("cpu", lab.settings(ray="auto"), notes.append)
    assert is_host(found)
    assert notes == ["cpu is measured by this machine: no node of the cluster has the resource device:cpu"]
    with pytest.raises(InputError, match=r"""ray start --resources '{"device:nosuch": 1}'"""):
        find_device("nosuch", lab.settings(ray="auto"), notes.append)


def test_nodes_of_one_name_are_a_pool_and_each_has_its_scale(cluster: Any, board: Any) -> None:
    other = cluster.add_node(num_cpus=0, resources={"device:board=cpu": 1})
    pool = pool_of("board")
    archs = [SMALL, zoo.load("mnasnet-small").for_input(96)]
    level = pool.share(archs, 1)
    assert len(level.scales) == 2
    assert all(0.5 < scale < 2.0 for scale in level.scales.values())
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda arch: pool.measure(model_of(arch), SHORT), archs))
    members = {m.conditions["pool"]["member"]: m.conditions["pool"]["scale"] for m in found}
    assert members == dict(level.scales)
    kill(cluster, other)
    assert board.node_id in pool.measure(model_of(SMALL), SHORT).conditions["pool"]["member"]


def test_a_device_whose_node_dies_is_waited_for(cluster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def hang() -> Any:
        return cluster.add_node(num_cpus=0, resources={"device:phone=cpu": 1})

    node = hang()
    pool = pool_of("phone", seconds=60.0)
    assert pool.measure(model_of(SMALL), SHORT).count
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.measure, model_of(SMALL), replace(SHORT, min_seconds=2.0))
        time.sleep(1.0)
        kill(cluster, node)  # in the middle of the measurement
        assert not waiting.done()
        back = hang()
        assert back.node_id in waiting.result(timeout=150).conditions["pool"]["member"]
    cluster.remove_node(back)
    assert capsys.readouterr().out == ""  # Ray's own words about it are no part of a command's output
    with pytest.raises(RunError, match=r"no device nothing was there for 1 s \(--device-timeout\)"):
        Pool("nothing", Keepers(ray, "nothing", 1.0), 1.0).measure(model_of(SMALL), SHORT)


def test_what_tasks_do_and_print_is_streamed_back(cluster: Any) -> None:
    said: list[tuple[str, str]] = []
    with RayWorkers("auto", 1, tell=lambda worker, text: said.append((worker, text))) as workers:
        workers.submit(chatter).result(timeout=150)
    (worker,) = {name for name, _ in said}
    assert worker.startswith(f"{platform.node()}:")
    assert [text for _, text in said if text] == ["training", *(f"line {n}" for n in range(20)), "a warning"]
    assert said[-1][1] == ""


class Calling(io.StringIO):
    """A stream that gives what is written to `say`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self.say = say

    def write(self, text: str) -> int:
        self.say(text)
        return len(text)


def chatter() -> None:
    for number in range(20):
        print("line", number)
    print("a warning", file=sys.stderr)


def test_a_study_in_a_file_is_watched_from_any_node(cluster: Any, lab: Lab, tmp_path: Path) -> None:
    work = lab.open(lab.settings(trials=14, pruner="median", sampler="random", epochs=4))
    work.workers = workers = RayWorkers("auto", 2)
    work.evaluate = replace(work.evaluate, train=Training(tmp_path), relayed=workers.relayed)
    rows = work.run(Stop(print))
    workers.shutdown()
    assert any(row.state == "PRUNED" and 0 < row.epochs < 4 for row in rows)
    assert all(row.epochs == 4 for row in rows if row.evaluated)


def test_the_best_are_trained_in_full_in_the_cluster(cluster: Any, tmp_path: Path) -> None:
    data = save_photos(tmp_path / "photos", 8)
    wide = Architecture.from_blocks(["r1_k3_s22_e3_i8_o8"], stem=8, head=24, resolution=16, classes=3)
    rows = [best_row(0, 0.7, 1.0), best_row(1, 0.6, 2.0, wide)]
    options, stream = session.Options("cpu", 0, tensorboard=False), io.StringIO()
    plan = Plan(2, TrainRecipe(epochs=2, batch=8, lr=0.05), options, Cluster("auto", 0.0, 1).train)
    found = train_best(
        tmp_path, str(data), 0, rows, {}, plan, lambda arch: FakeMeasurement(3.5), stream, lambda: False
    )
    assert found is not None
    assert {item["id"] for item in found} == {TINY.id, wide.id}
    for arch in (TINY, wide):
        folder = tmp_path / "trained" / arch.id
        assert {"model.safetensors", "metrics.csv", "checkpoints"} <= {p.name for p in folder.iterdir()}
        assert Candidate.load(folder / "candidate.json").latency_ms == 3.5
        assert f"{arch.id}: epoch   2/2" in stream.getvalue()


@pytest.mark.parametrize("name", ["../other.txt", "checkpoints/../../other.txt", "/tmp/other.txt"])
def test_a_file_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a path inside run"):
        receive(tmp_path / "run", {name: b"text"})
    assert not list(tmp_path.iterdir())


def test_a_full_training_goes_on_wherever_it_was_stopped(cluster: Any, tmp_path: Path) -> None:
    """First its worker is killed, then the user stops it, then it goes on here."""
    arch = TINY.for_input(8, 1, 10)  # the digits: in memory, so that they go through the object store
    rows = [best_row(0, 0.7, 1.0, arch)]
    options = session.Options("cpu", 0, tensorboard=False)
    plan = Plan(1, TrainRecipe(epochs=1000, batch=64, lr=0.05), options, Cluster("auto", 0.0, 1).train)
    folder = tmp_path / "trained" / arch.id
    said: list[str] = []

    def listen(text: str) -> None:
        said.append(text)
        if "epoch" in text and checkpoint_paths(folder) and not any("tried again" in text for text in said):
            with suppress(ProcessLookupError):
                os.kill(int(text.partition(": ")[0].rpartition(":")[2]), signal.SIGKILL)

    def go(plan: Plan, stop: Callable[[], bool]) -> Any:
        measure = lambda arch: FakeMeasurement(1.0)  # noqa: E731
        return train_best(tmp_path, "digits", 0, rows, {}, plan, measure, Calling(listen), stop)

    assert go(plan, lambda: any("going on at step" in text for text in said)) is None
    assert any(f"{arch.id} is tried again: RunError: the worker's process" in text for text in said)
    checkpoint = max(checkpoint_paths(folder))
    stops = iter(range(10**6))
    assert go(replace(plan, train=one_by_one), lambda: next(stops) >= 2) is None
    assert any(f"going on at step {checkpoint}" in text for text in said)


def test_a_search_on_a_device_of_the_cluster(
    cluster: Any, board: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "measure", partial(latency.measure, **BRIEFLY))
    monkeypatch.setattr(latency.pool, "Settings", partial(Settings, **BRIEFLY))
    settings = SearchSettings(
        target_ms=50.0, device="board", resolution=64, epochs=1, proxy_samples=200, trials=2, confirm=0,
        ray="auto", workers=2, latency="auto",
    )  # fmt: skip
    prepared = levelled(prepare(settings, SPACE), {})
    assert prepared.notes[0] == "board is measured on the cluster, where 1 hangs"
    folder = new_run(prepared, tmp_path / "run")
    (member,) = folder.record["device"]["pool"]["scales"]
    assert board.node_id in member
    seen = Recorder()
    rows = search(folder, prepared, seen, Stop(print))
    done = [row for row in rows if row.evaluated]
    assert all(row.measurement["conditions"]["pool"]["member"] == member for row in done)
    assert {row.measurement["device"] for row in done} == {"board"}
    again = levelled(prepared, open_run(folder.path).record["device"])
    assert again.pools == prepared.pools


def test_a_cluster_that_is_not_there_is_an_error_in_one_line() -> None:
    code = "127.0.0.1:9"
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(RunError, match="cannot be reached"):
        RayWorkers(code, 1)
