"""Trainings on a real Ray cluster of several nodes, one of which dies."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from candidates import RunError, zoo
from nas.data import load_data
from nas.recipe import Recipe
from nas.stopping import Stop
from nas.workers.cluster import ClusterTraining, RayWorkers
from nas.workers.training import ProxyTraining
from tests.nas.conftest import Lab
from tests.nas.test_workers import Training

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    ray.init(address=made.address, logging_level=logging.ERROR, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def where() -> str:
    time.sleep(1.0)
    return str(ray.get_runtime_context().get_node_id())


def test_tasks_run_on_every_node_at_once(cluster: Any) -> None:
    workers = RayWorkers("auto", 2)
    found = {future.result(timeout=60) for future in [workers.submit(where) for _ in range(2)]}
    assert len(found) == 2


def test_a_task_can_be_killed_and_an_error_arrives(cluster: Any) -> None:
    workers = RayWorkers("auto", 2)
    hangs: Future[None] = workers.submit(time.sleep, 600)
    time.sleep(2.0)
    workers.kill(hangs)
    assert hangs.exception(timeout=60) is not None
    fails: Future[float] = workers.submit(float, "no number")
    with pytest.raises(ValueError, match="no number"):
        fails.result(timeout=60)


def test_a_search_survives_the_death_of_a_node(cluster: Any, lab: Lab, tmp_path: Path) -> None:
    extra = cluster.add_node(num_cpus=1)
    training = Training(tmp_path, seconds=1.0)
    work = lab.open(lab.settings(trials=12, retries=3))
    work.evaluate = replace(work.evaluate, train=training)
    work.workers = RayWorkers("auto", 3)
    ended = []

    def after(rows: Any) -> None:
        ended.append(len(rows))
        if len(ended) == 3:
            cluster.remove_node(extra, allow_graceful=False)

    work.after_trial = after
    rows = work.run(Stop(print))
    assert sum(row.state == "COMPLETE" for row in rows) == 12
    evaluated = [row.id for row in rows if row.evaluated]
    assert len(evaluated) == len(set(evaluated))


def test_the_data_go_through_the_object_store(cluster: Any) -> None:
    """The same seed gives what a training in this process gives, and no node reads the files."""
    data = load_data("digits", None, 200)
    workers = RayWorkers("auto", 1)
    arch = zoo.load("mnasnet-small")
    task = ClusterTraining(workers.shared(data), Recipe(epochs=1))
    found = workers.submit(task, arch, 0).result(timeout=120)
    here = ProxyTraining("digits", None, 200, 1)(arch, 0)
    # The number of threads may differ, and with it the last digits.
    assert np.isclose(found.loss, here.loss, rtol=0.05)


def test_a_cluster_that_is_not_there_is_an_error_in_one_line() -> None:
    code = "127.0.0.1:9"
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(RunError, match="cannot be reached"):
        RayWorkers(code, 1)
