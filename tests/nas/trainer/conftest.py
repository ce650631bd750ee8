"""Trainings that take about a second: a tiny network on a few made-up photographs."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from candidates import Architecture, Baseline
from nas.data import open_source
from nas.trainer import opening, session
from nas.trainer.data import choose
from nas.trainer.devices import make_fabric
from nas.trainer.folder import TrainingFolder, open_training
from nas.trainer.recipe import Recipe

TINY = Architecture.from_blocks(
    ["r1_k3_s22_e3_i8_o8", "r2_k3_s11_e3_i8_o8_se0.25"], stem=8, head=16, resolution=16, classes=3
)


def save_photos(root: Path, each: int, classes: int = 3, seed: int = 0) -> Path:
    """Noise whose colour tells the class."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", each), ("val", max(2, each // 3)), ("test", 2)):
        for label in range(classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = rng.integers(0, 120, (20, 24, 3), dtype=np.uint8)
                pixels[..., label % 3] += 100
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@dataclass
class Kill:
    """Ends a training after `step` updates as a `kill -9` does: nothing more is written."""

    step: int
    seen: int = 0

    def __call__(self) -> bool:
        self.seen += 1
        if self.seen == self.step:
            raise KeyboardInterrupt
        return False


@dataclass
class Trainer:
    """Makes and runs trainings below `path` on the photographs `data`."""

    path: Path
    data: Path

    def make(
        self,
        name: str,
        recipe: Recipe,
        arch: Architecture | Baseline = TINY,
        seed: int = 0,
        extra: dict[str, str | None] | None = None,
    ) -> TrainingFolder:
        data = choose(open_source(str(self.data)), (extra or {}).get("fold"))
        fitted = opening.fitted(arch, data.source, None)
        return session.new_training(
            "tiny", fitted, str(self.data), data, recipe, seed, self.path / name, extra=extra
        )

    def run(
        self,
        name: str,
        stop: Callable[[], bool] = lambda: False,
        workers: int = 0,
        checkpoint_steps: int | None = None,
    ) -> dict[str, Any] | None:
        folder = open_training(self.path / name)
        data = choose(open_source(str(self.data)), folder.fold)
        opening.check_same_data(folder, data)
        options = session.Options("cpu", workers, tensorboard=False, checkpoint_steps=checkpoint_steps)
        fabric = make_fabric("cpu", folder.recipe.precision)
        self.said = io.StringIO()
        return session.run(folder, data, options, self.said, stop=stop, fabric=fabric)

    def weights(self, name: str) -> bytes:
        return (self.path / name / "model.safetensors").read_bytes()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photos(tmp_path_factory.mktemp("photos"), each=12)


@pytest.fixture
def trainer(tmp_path: Path, photos: Path) -> Trainer:
    return Trainer(tmp_path, photos)
