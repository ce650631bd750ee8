from __future__ import annotations

import pytest

from nas.trainer import recipe as recipes
from nas.trainer.recipe import Recipe
from nas.trainer.schedules import Plateau, learning_rate, weight_decay


def test_the_references_staircase_is_counted_from_step_zero() -> None:
    recipe = recipes.load("mnasnet")
    assert learning_rate(recipe, 2.5) == pytest.approx(0.128)  # half of a warm-up of 5 epochs
    assert learning_rate(recipe, 5.0) == pytest.approx(0.256 * 0.97**2)  # 5 / 2.4 is two whole periods
    assert learning_rate(recipe, 12.0) == pytest.approx(0.256 * 0.97**5)
    assert learning_rate(recipe, 14.39) == pytest.approx(0.256 * 0.97**5)


def test_a_cosine_falls_from_the_peak_after_the_warm_up_to_the_least() -> None:
    recipe = recipes.load("mindcv-050")
    assert learning_rate(recipe, 5.0) == pytest.approx(0.1)
    assert learning_rate(recipe, 202.5) == pytest.approx((0.1 + 5e-6) / 2)
    assert learning_rate(recipe, 400.0) == pytest.approx(5e-6)


@pytest.mark.parametrize(
    ("name", "epoch", "lr", "decay"),
    [
        ("enet-v2", 1, 1e-2, 5e-4), ("enet-v2", 18, 1e-2, 5e-4), ("enet-v2", 19, 5e-3, 5e-4),
        ("enet-v2", 29, 5e-3, 5e-4), ("enet-v2", 30, 1e-3, 0), ("enet-v2", 44, 5e-4, 0), ("enet-v2", 53, 1e-4, 0),
        ("enet-v3", 10, 1e-2, 5e-4), ("enet-v3", 11, 5e-3, 5e-4), ("enet-v3", 16, 1e-3, 0),
        ("enet-v3", 21, 5e-4, 0), ("enet-v3", 31, 1e-4, 0),
        ("enet-v6", 1, 0.1, 5e-4), ("enet-v6", 31, 0.05, 0),
        ("enet-v7", 1, 0.1, 1e-4), ("enet-v7", 3, 0.081, 1e-4),
    ],
)  # fmt: skip
def test_regime_tables_by_epoch_from_one(name: str, epoch: int, lr: float, decay: float) -> None:
    recipe = recipes.load(name)
    for within in (0.0, 0.5, 0.99):
        assert learning_rate(recipe, epoch - 1 + within) == pytest.approx(lr)
        assert weight_decay(recipe, epoch - 1 + within) == decay


def test_one_cycle_rises_and_falls() -> None:
    recipe = recipes.load("adam-onecycle")
    rates = [learning_rate(recipe, epoch) for epoch in range(31)]
    assert max(rates) == rates[9] == pytest.approx(3e-3)
    assert rates[0] == pytest.approx(3e-3 / 25)
    assert rates[-1] < 1e-6


def test_cycles_go_up_and_down() -> None:
    recipe = Recipe(schedule="cyclical", cycle_epochs=4, lr=1, lr_batch=None)
    assert [learning_rate(recipe, epoch) for epoch in range(5)] == pytest.approx([0.1, 0.55, 1.0, 0.55, 0.1])


def test_a_plateau_lowers_the_rate_when_the_loss_stays() -> None:
    plateau = Plateau(0.5, patience=2)
    factors = []
    for loss in (2.0, 1.0, 1.1, 1.2, 1.3, 0.9, 1.0):
        plateau.see(loss)
        factors.append(plateau.factor)
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5]
    again = Plateau(0.5, patience=2)
    again.restore(plateau.state())
    assert again.state() == plateau.state()
    recipe = Recipe(schedule="plateau", lr=1, lr_batch=None, min_lr=0.3)
    assert learning_rate(recipe, 3.0, plateau.factor) == 0.5
    assert learning_rate(recipe, 3.0, 0.1) == 0.3
