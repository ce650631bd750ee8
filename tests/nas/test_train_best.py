"""The best of a search, trained in full."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from candidates import Architecture, InputError
from nas.candidate import Candidate
from nas.find_candidate import find_weights
from nas.targets import Targets
from nas.train_best import Plan, chosen, train_best
from nas.trainer.recipe import Recipe
from nas.trainer.session import Options
from nas.trials import Row, architecture_text
from tests.nas.conftest import FakeMeasurement
from tests.nas.trainer.conftest import TINY, save_photos


def row(number: int, reward: float, latency: float, arch: Architecture = TINY) -> Row:
    return Row(
        number=number,
        state="COMPLETE",
        id=arch.id,
        accuracy=0.5,
        loss=1.0,
        latency_ms=latency,
        reward=reward,
        architecture=architecture_text(arch),
        measurement={"latency_ms": latency},
    )


def test_the_highest_rewards_within_the_target_come_first_and_no_network_twice() -> None:
    other, slow = (TINY.for_input(classes=classes) for classes in (4, 5))
    rows = [row(0, 0.7, 1.0), row(1, 0.8, 1.0, other), row(2, 0.6, 1.0), row(3, 0.9, 9.0, slow)]
    targets = Targets((5.0,), -0.07, -0.07)
    assert [r.number for r in chosen(rows, targets, 2)] == [1, 0]
    assert [r.number for r in chosen(rows, targets, 9)] == [1, 0, 3]
    assert chosen(rows, targets, 0) == []


def test_within_means_within_every_target() -> None:
    other = TINY.for_input(classes=4)
    slow = replace(row(0, 0.9, 1.0), measurement={"latency_ms": 1.0, "also": {"cpu": {"latency_ms": 10.0}}})
    fast = replace(
        row(1, 0.8, 1.0, other), measurement={"latency_ms": 1.0, "also": {"cpu": {"latency_ms": 8.0}}}
    )
    assert [r.number for r in chosen([slow, fast], Targets((5.0, 9.0), -0.07, -0.07), 1)] == [1]


def test_each_is_trained_measured_and_found_again_after_an_interruption(tmp_path: Path) -> None:
    data = save_photos(tmp_path / "photos", 8)
    wide = Architecture.from_blocks(["r1_k3_s22_e3_i8_o8"], stem=8, head=24, resolution=16, classes=3)
    rows = [row(0, 0.7, 1.0), row(1, 0.6, 2.0, wide)]
    plan = Plan(2, Recipe(epochs=2, batch=8, lr=0.05), Options("cpu", 0, tensorboard=False))
    measured: list[str] = []

    def measure(arch: Architecture) -> FakeMeasurement:
        measured.append(arch.id)
        return FakeMeasurement(3.5)

    def go(stop_after: int = 10**6) -> list[dict[str, object]] | None:
        asked = iter(range(10**6))
        return train_best(
            tmp_path, str(data), 0, rows, {"proxy": {"epochs": 5}}, plan, measure, io.StringIO(),
            lambda: next(asked) >= stop_after,
        )  # fmt: skip

    assert go(stop_after=1) is None
    assert not (tmp_path / "trained.json").exists()
    found = go()
    assert found is not None
    assert found == json.loads((tmp_path / "trained.json").read_text())
    assert {item["id"] for item in found} == {TINY.id, wide.id}
    assert measured == [TINY.id, wide.id]
    accuracies = [item["accuracy"] for item in found]
    assert accuracies == sorted(accuracies, reverse=True)  # type: ignore[type-var]
    folder = tmp_path / "trained" / TINY.id
    candidate = Candidate.load(folder / "candidate.json")
    assert candidate.latency_ms == 3.5
    assert candidate.found["training"]["epochs"] == 2
    assert find_weights(str(folder)) == folder / "model.safetensors"
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert go() is not None
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_the_option_is_checked_before_the_search() -> None:
    from candidates.errors import InputError
    from nas.commands.full_training import FullTraining

    FullTraining(0, "none", None).check()
    with pytest.raises(InputError, match="recipe is 'none'"):
        FullTraining(1, "none", None).check()
    assert FullTraining(2, "mnasnet", 4).resolved().epochs == 4


def test_another_recipe_does_not_pass_for_the_one_that_was_trained(tmp_path: Path) -> None:
    data, known = save_photos(tmp_path / "photos", 8), {"proxy": {"epochs": 5}}

    def go(recipe: Recipe) -> list[dict[str, object]] | None:
        plan = Plan(1, recipe, Options("cpu", 0, tensorboard=False))
        return train_best(
            tmp_path, str(data), 0, [row(0, 0.7, 1.0)], known, plan, lambda arch: FakeMeasurement(3.5),
            io.StringIO(), lambda: False,
        )  # fmt: skip

    first = go(Recipe(epochs=1, batch=8, lr=0.05))
    assert go(Recipe(epochs=1, batch=8, lr=0.05)) == first
    with pytest.raises(InputError, match=r"epochs 1 instead of 3.*give the same --train-recipe"):
        go(Recipe(epochs=3, batch=8, lr=0.05))
