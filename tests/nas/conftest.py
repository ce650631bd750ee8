"""A space of 1,296 points, cheap to build, and evaluations that take no time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from candidates import Architecture
from nas.evaluation import Evaluator
from nas.prepared import limits_of
from nas.run import too_slow
from nas.run_folder import RunFolder, create
from nas.samplers import make
from nas.samplers.halting import rule_of
from nas.search import Search
from nas.settings import SearchSettings
from nas.stopping import Stop
from nas.study import open_study, take_up_lost
from nas.trials import Row
from search_space import parse_space

SPACE = """
format: 1
name: little
stem: 8
head: 16
choices:
  op: [dsconv, mbconv3]
  kernel: [3, 5]
  width: [0.5, 1, 2]
  layers: [0, 1, 2]
blocks:
  - {stride: 2, channels: 16, layers: 1}
  - {stride: 2, channels: 32, layers: 1}
"""


@dataclass(frozen=True)
class FakeMeasurement:
    latency_ms: float
    valid: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {"latency_ms": self.latency_ms, "valid": self.valid, "reasons": [] if self.valid else ["busy"]}


@dataclass(frozen=True)
class FakeOutcome:
    accuracy: float
    loss: float
    stopped: bool = False


def latency_of(arch: Architecture) -> float:
    return arch.multiply_adds() / 1e5


def accuracy_of(arch: Architecture) -> float:
    return 1 - 1 / (1 + arch.parameters() / 2000)


@dataclass
class Recorder:
    """A Progress that keeps what it is shown."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def trial(self, row: Row, rows: list[Row]) -> None:
        self.rows.append(row)

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class Lab:
    """Runs searches with made-up evaluations in `path`."""

    path: Path
    measured: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    latency: Callable[[Architecture], float] = latency_of
    progress: Recorder = field(default_factory=Recorder)
    before_training: Callable[[int], None] = lambda count: None
    epochs: int = 0

    def settings(self, **changes: Any) -> SearchSettings:
        return SearchSettings(
            **({"target_ms": 3.0, "trials": 8, "resolution": 32, "device": "cpu", "retries": 0} | changes)
        )

    def measure(self, arch: Architecture) -> FakeMeasurement:
        self.measured.append(arch.id)
        return FakeMeasurement(self.latency(arch))

    def train(
        self, arch: Architecture, seed: int, watch: Callable[[Sequence[float]], bool] | None = None
    ) -> FakeOutcome:
        self.before_training(len(self.trained))
        self.trained.append(arch.id)
        for epoch in range(1, 5 if watch else 1):
            self.epochs += 1
            if (
                watch is not None
                and watch([accuracy_of(arch) * n / 4 for n in range(1, epoch + 1)])
                and epoch < 4
            ):
                return FakeOutcome(accuracy_of(arch) * epoch / 4, 1.0, stopped=True)
        return FakeOutcome(accuracy_of(arch), 1 - accuracy_of(arch))

    def folder(self, settings: SearchSettings) -> RunFolder:
        from nas.run_folder import open_run

        if (self.path / "run.json").exists():
            return open_run(self.path)
        return create(self.path, settings, SPACE, {"name": "cpu"})

    def search(self, settings: SearchSettings, stop: Stop | None = None) -> list[Row]:
        return self.open(settings).run(stop or Stop(self.progress.note))

    def open(self, settings: SearchSettings) -> Search:
        space = parse_space(SPACE, "little.yaml")
        folder = self.folder(settings)
        limit = settings.target_ms * settings.max_latency_factor
        sampler = make(settings.sampler, space, seed=settings.seed, limit=limit)
        study = open_study(folder.database, sampler, settings.objective, create=True)
        if not folder.database.shared:
            take_up_lost(study, space)
        evaluate = Evaluator(
            deploy=lambda base: base.for_input(settings.resolution, 3, 10),
            measure=self.measure,
            train=self.train,
            too_slow=too_slow(settings),
            seed=settings.seed,
            epoch_by_epoch=settings.pruner != "none",
        )
        found = {"proxy": {"name": "made up"}}
        rule = rule_of(settings.pruner, settings.epochs)
        return Search(
            folder,
            study,
            space,
            evaluate,
            found,
            self.progress,
            limits=limits_of(settings),
            rule=rule,
            retries=settings.retries,
            trial_timeout=settings.trial_timeout,
        )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "run")
