"""A training that is killed anywhere and resumed ends with the same weights, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.trainer.checkpoints import checkpoint_paths
from nas.trainer.recipe import Recipe
from tests.nas.trainer.conftest import Kill, Trainer

# 36 images in batches of 8 give 4 updates in each of 3 epochs. All that draws random numbers is on.
EVERYTHING = Recipe(
    epochs=3,
    batch=8,
    accumulate=2,
    lr=0.05,
    warmup_epochs=1,
    ema_decay=0.9,
    label_smoothing=0.1,
    dropout=0.2,
    stochastic_depth=0.2,
    mixup=0.2,
    cutmix=1.0,
    crop="resized",
    rotation=10,
    randaugment_ops=1,
    erasing=0.5,
    clip_norm=5.0,
)
PLAIN = {
    "rmsprop-tf": Recipe(
        epochs=3, batch=8, optimizer="rmsprop-tf", lr=0.01, schedule="exponential", dropout=0.2
    ),
    "adam": Recipe(epochs=3, batch=8, optimizer="adam", lr=1e-3, epsilon=1e-8, schedule="one-cycle"),
    "plateau": Recipe(
        epochs=3, batch=8, schedule="plateau", decay_factor=0.5, patience=0, bn_reestimate=True
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Trainer:
    """Trainings that nothing interrupted."""
    trainer = Trainer(tmp_path_factory.mktemp("whole"), photos)
    for name, recipe in {"everything": EVERYTHING, **PLAIN}.items():
        trainer.make(name, recipe)
        assert trainer.run(name) is not None
    return trainer


@pytest.mark.parametrize(
    ("step", "checkpoint_steps"),
    [(1, None), (3, None), (4, None), (5, None), (5, 2), (9, 2), (10, 3)],
)
def test_killed_at_any_step(
    trainer: Trainer, whole: Trainer, step: int, checkpoint_steps: int | None
) -> None:
    trainer.make("t", EVERYTHING)
    with pytest.raises(KeyboardInterrupt):
        # The callback is not asked after an epoch's last update: three times in each epoch.
        trainer.run("t", Kill(step - step // 4), checkpoint_steps=checkpoint_steps)
    assert not (trainer.path / "t" / "model.safetensors").exists()
    assert trainer.run("t") is not None
    assert trainer.weights("t") == whole.weights("everything")


@pytest.mark.parametrize("name", PLAIN)
def test_every_optimiser_and_schedule(trainer: Trainer, whole: Trainer, name: str) -> None:
    trainer.make("t", PLAIN[name])
    for step in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            trainer.run("t", Kill(step), checkpoint_steps=1)
    assert len(checkpoint_paths(trainer.path / "t")) > 0
    assert trainer.run("t") is not None
    assert trainer.weights("t") == whole.weights(name)


def test_workers_change_nothing(trainer: Trainer, whole: Trainer) -> None:
    trainer.make("t", EVERYTHING)
    with pytest.raises(KeyboardInterrupt):
        trainer.run("t", Kill(4), workers=2)
    assert trainer.run("t", workers=1) is not None
    assert trainer.weights("t") == whole.weights("everything")


def test_the_seed_changes_the_weights(trainer: Trainer, whole: Trainer) -> None:
    trainer.make("t", EVERYTHING, seed=1)
    trainer.run("t")
    assert trainer.weights("t") != whole.weights("everything")


def test_asked_to_stop_it_saves_where_it_is(trainer: Trainer, whole: Trainer) -> None:
    trainer.make("t", EVERYTHING)
    asked = iter([False, True])
    assert trainer.run("t", lambda: next(asked)) is None
    assert list(checkpoint_paths(trainer.path / "t")) == [2]
    assert trainer.run("t") is not None
    assert "going on at step 2, in epoch 1 of 3" in trainer.said.getvalue()
    assert trainer.weights("t") == whole.weights("everything")
