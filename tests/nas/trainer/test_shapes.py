from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from candidates import zoo
from candidates.errors import InputError
from candidates.preprocessing import Preprocessing
from nas.data import open_source
from nas.data.source import VALIDATION
from nas.trainer.evaluating import evaluate
from nas.trainer.folder import open_training
from nas.trainer.loading import Decoded, Loaded, open_batches
from nas.trainer.recipe import Recipe
from nas.trainer.scoring import eval_plan
from nas.trainer.shapes import MOST, STEP, aspect_ratios, grouped
from nas.trainer.trained import open_trained
from tests.nas.trainer.conftest import Trainer

SIZES = ((30, 20), (20, 30), (20, 20))  # width and height: landscape, portrait, square


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of three shapes whose left and right (or upper and lower) ends alone are bright."""
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 6)):
        for label in range(3):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                width, height = SIZES[number % 3]
                pixels = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
                pixels[..., label] += 60
                if width > height:
                    pixels[:, :4] = pixels[:, -4:] = 255
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@given(
    st.lists(st.floats(0.01, 100.0), min_size=1, max_size=50),
    st.integers(1, 10),
    st.sampled_from([16, 30, 150, 224]),
)
def test_every_image_is_in_one_group_of_a_fitting_size(ratios: list[float], count: int, side: int) -> None:
    found = grouped(np.array(ratios), count, side)
    assert len(found) <= count
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(len(ratios)))
    for height, width in found:
        assert min(height, width) == side
        assert max(height, width) <= MOST * side
        assert max(height, width) == side or max(height, width) % STEP == 0


def test_like_shapes_share_a_rectangle() -> None:
    found = grouped(np.array([1.5, 0.66, 1.0, 1.5, 1.01, 0.67]), 3, 224)
    assert {size: positions.tolist() for size, positions in found.items()} == {
        (336, 224): [1, 5],
        (224, 224): [2, 4],
        (224, 336): [0, 3],
    }


def test_a_rectangle_shows_what_the_square_cuts_off(shapes: Path) -> None:
    source = open_source(str(shapes))
    chosen = np.arange(len(source.labels[VALIDATION]))
    preprocessing = Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3)
    seen = {}
    for count in (1, 3):
        images = Decoded(source, VALIDATION, chosen, preprocessing, Recipe(eval_shapes=count), None)
        batches = open_batches(images, 0, torch.device("cpu"))
        found = list(batches.epoch(0, eval_plan(batches.groups)))
        assert sorted(i for batch in found for i in batch.indices) == chosen.tolist()
        assert all(
            (batch.labels.numpy() == source.labels[VALIDATION][batch.indices]).all() for batch in found
        )
        seen[count] = {tuple(batch.pixels.shape[2:]): batch for batch in found}
    assert set(seen[1]) == {(16, 16)}
    assert set(seen[3]) == {(16, 24), (16, 16), (24, 16)}
    assert isinstance(batches, Loaded)
    landscape = aspect_ratios(source, VALIDATION, chosen) > 1.2
    assert sorted(seen[3][16, 24].indices) == np.flatnonzero(landscape).tolist()
    assert (seen[3][16, 24].pixels[..., [0, 1, -2, -1]] > 200).all()
    assert (seen[1][16, 16].pixels[:, :, :, [0, -1]] < 200).all()


def test_a_training_is_validated_on_rectangles_and_evaluated_alike(trainer: Trainer, shapes: Path) -> None:
    trainer.data = shapes
    for name, count in (("square", 1), ("rectangles", 3)):
        trainer.make(name, Recipe(epochs=2, batch=8, lr=0.05, eval_shapes=count))
        result = trainer.run(name)
        assert result is not None
        again = evaluate(
            open_trained(str(trainer.path / name)), str(shapes), "val", 0, open_training(trainer.path / name)
        )
        assert again.images == result["validation"]["images"] == 18
        assert again.loss == pytest.approx(result["validation"]["loss"], rel=1e-4)


def test_a_network_of_one_size_refuses(trainer: Trainer) -> None:
    with pytest.raises(InputError, match="eval_shapes is for networks that take any size; vgg-like takes"):
        trainer.make("vgg", Recipe(epochs=1, batch=8, eval_shapes=2), zoo.load("vgg-like"))
    assert not (trainer.path / "vgg").exists()
