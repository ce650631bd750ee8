"""Known networks in a run, with a device and a proxy that take no time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from candidates import Architecture, InputError, RunError, zoo
from candidates.operations import operations
from nas.baselines import NAMES, add_baselines, compare_with_known, read_baselines, wanted_way
from nas.layer_times import layer_names, read_layer_times
from nas.run_folder import RunFolder
from nas.settings import SearchSettings
from tests.nas.conftest import FakeMeasurement, FakeOutcome, Lab, latency_of


@dataclass
class FakeProxy:
    trained: list[str] = field(default_factory=list)

    def train(self, arch: Architecture, seed: int) -> FakeOutcome:
        self.trained.append(str(arch.name))
        return FakeOutcome(0.75, 0.5)

    def describe(self) -> dict[str, Any]:
        return {"name": "made up"}


@dataclass
class FakeDevice:
    name: str = "made up"
    formats: tuple[str, ...] = ("onnx",)
    broken: bool = False

    def runtime(self, form: str) -> tuple[str, str]:
        return "runtime", "1"

    def operation_times(self, arch: Architecture, threads: int) -> dict[int, float]:
        if self.broken:
            raise RunError("the device is gone")
        return {index: 0.5 for index, _ in enumerate(operations(arch.layers, arch.resolution))}


@dataclass
class FakePrepared:
    settings: SearchSettings
    resolution: int = 64
    proxy: FakeProxy = field(default_factory=FakeProxy)
    device: FakeDevice = field(default_factory=FakeDevice)
    measured: int = 0

    def deploy(self, base: Architecture) -> Architecture:
        return base.for_input(self.resolution, 3, 10)

    def measure_at_length(self, arch: Architecture) -> FakeMeasurement:
        self.measured += 1
        return FakeMeasurement(latency_of(arch))


@pytest.fixture
def folder(lab: Lab) -> RunFolder:
    return lab.open(lab.settings()).folder


def test_they_are_measured_first_and_trained_when_asked_each_once(lab: Lab, folder: RunFolder) -> None:
    prepared: Any = FakePrepared(lab.settings())
    found = add_baselines(folder, prepared, "measure")
    assert [one.name for one in found] == list(NAMES)
    assert all(one.accuracy is None for one in found)
    assert found == read_baselines(folder.path)
    for _ in range(2):
        found = add_baselines(folder, prepared, "train")
    assert all(one.accuracy == 0.75 for one in read_baselines(folder.path))
    assert all(one.candidate.reward for one in found)
    assert prepared.measured == 3
    assert prepared.proxy.trained == list(NAMES)


def test_another_input_size_is_measured_anew(lab: Lab, folder: RunFolder) -> None:
    add_baselines(folder, FakePrepared(lab.settings()), "measure")  # type: ignore[arg-type]
    prepared: Any = FakePrepared(lab.settings(), resolution=96)
    add_baselines(folder, prepared, "measure")
    assert prepared.measured == 3


def test_layers_are_named_in_order_and_their_times_summed(lab: Lab, folder: RunFolder) -> None:
    prepared: Any = FakePrepared(lab.settings())
    best = zoo.load("mnasnet-small").for_input(64, 3, 10)
    compare_with_known(folder, prepared, best, "measure", print)
    profiles = read_layer_times(folder.path)
    assert set(profiles) == {best.id, read_baselines(folder.path)[0].candidate.architecture.id}
    names, times = zip(*profiles[best.id].layers, strict=True)
    assert list(names) == layer_names(best)
    assert len(names) == len(best.layers)
    assert sum(times) == pytest.approx(0.5 * len(operations(best.layers, best.resolution)))


def test_a_device_that_fails_costs_the_comparison_alone(lab: Lab, folder: RunFolder) -> None:
    prepared: Any = FakePrepared(lab.settings(), device=FakeDevice(broken=True))
    notes: list[str] = []
    compare_with_known(folder, prepared, zoo.load("mnasnet-small"), "measure", notes.append)
    assert notes[-1] == "no latencies by layer: the device is gone"
    assert read_layer_times(folder.path) == {}


def test_none_adds_nothing(lab: Lab, folder: RunFolder) -> None:
    compare_with_known(folder, FakePrepared(lab.settings()), zoo.load("mnasnet-small"), "none", print)  # type: ignore[arg-type]
    assert read_baselines(folder.path) == ()


@pytest.mark.parametrize(
    ("way", "trials", "expected"), [("auto", 30, "measure"), ("auto", 60, "train"), ("none", 99, "none")]
)
def test_long_searches_train_them(way: str, trials: int, expected: str) -> None:
    assert wanted_way(way, trials) == expected


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(InputError, match="--baselines"):
        wanted_way("all", 30)


def test_a_file_with_a_baseline_without_a_latency_is_refused(tmp_path: Path) -> None:
    text = zoo.load("mnasnet-a1").to_json()
    (tmp_path / "baselines.json").write_text(f'{{"format": 1, "baselines": [{text}]}}')
    with pytest.raises(InputError, match="baseline 1 has no latency_ms"):
        read_baselines(tmp_path)
