"""When a training stops or saves: after any update, and all processes after the same one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.trainer import lookout as module
from nas.trainer import loop
from nas.trainer.checkpoints import checkpoint_paths
from nas.trainer.lookout import Lookout
from nas.trainer.recipe import Recipe
from tests.nas.trainer.conftest import Trainer

ONE_UPDATE = Recipe(epochs=3, batch=36, lr=0.05)


class Together:
    """Two processes' reductions, in two threads."""

    def __init__(self) -> None:
        self._said = [torch.zeros(0), torch.zeros(0)]
        self._barrier = threading.Barrier(2, timeout=60)

    def fabric(self, rank: int) -> Any:
        def all_reduce(tensor: torch.Tensor, reduce_op: str) -> torch.Tensor:
            assert reduce_op == "sum"
            self._said[rank] = tensor
            self._barrier.wait()
            total = self._said[0] + self._said[1]
            self._barrier.wait()
            return total

        return SimpleNamespace(
            world_size=2, is_global_zero=rank == 0, device=torch.device("cpu"), all_reduce=all_reduce
        )


@pytest.mark.parametrize("asked", [0, 1])
def test_processes_stop_after_the_same_update_whichever_was_asked(asked: int) -> None:
    together = Together()

    def updates(rank: int) -> int:
        count = [0]
        lookout = Lookout(together.fabric(rank), lambda: rank == asked and count[0] >= 7, 600.0)
        while count[0] < 1000:
            count[0] += 1
            if lookout.after_update()[0]:
                break
        return count[0]

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(updates, range(2))
    assert first == second
    assert 7 <= first <= 7 + module.MOST_UPDATES


def test_processes_save_when_the_first_ones_clock_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    now, together = [0.0], Together()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    lookouts = [Lookout(together.fabric(rank), lambda: False, (600.0, 1e-9)[rank]) for rank in range(2)]
    said = []
    with ThreadPoolExecutor(2) as threads:
        for _ in range(30):  # of 60 s each: every one is looked at
            now[0] += 60.0
            answers = list(threads.map(Lookout.after_update, lookouts))
            assert answers[0] == answers[1]
            said.append(answers[0][1])
            if answers[0][1]:
                for one in lookouts:
                    one.saved()
    assert [number for number, due in enumerate(said, 1) if due] == [11, 22]


def test_epochs_of_one_update_are_stopped_too(trainer: Trainer) -> None:
    trainer.make("whole", ONE_UPDATE)
    trainer.run("whole")
    trainer.make("t", ONE_UPDATE)
    asked = iter([False, True])
    assert trainer.run("t", lambda: next(asked)) is None
    assert max(checkpoint_paths(trainer.path / "t")) == 2
    assert trainer.run("t") is not None
    assert trainer.weights("t") == trainer.weights("whole")


def test_an_epochs_speed_is_that_of_its_updates(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from nas.trainer import monitor

    late = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + late[0])
    monkeypatch.setattr(monitor, "time", clock)
    validate = loop.validate

    def slow(training: loop.Training) -> Any:
        late[0] += 1000.0
        return validate(training)

    monkeypatch.setattr(loop, "validate", slow)
    folder = trainer.make("t", replace(ONE_UPDATE, epochs=1))
    trainer.run("t")
    (row,) = (folder.path / "metrics.csv").read_text().splitlines()[1:]
    seconds = float(row.split(",")[-1])
    assert 0 < seconds < 500
