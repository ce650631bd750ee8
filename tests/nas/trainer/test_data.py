from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from candidates.errors import InputError
from candidates.preprocessing import Preprocessing
from nas.data import open_source
from nas.data.reading import centre, cropped, random_box, square
from nas.trainer.data import choose, fold_indices, measure_pixels, resize_of
from nas.trainer.loading import Decoded
from nas.trainer.recipe import Recipe


def save(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for number in range(count):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(folder / f"{number:02}.png")


def test_folds_are_stratified_and_cover_every_image_once() -> None:
    labels = np.array([0] * 50 + [1] * 23 + [2] * 7)
    folds = [fold_indices(labels, f"{number}/5") for number in range(1, 6)]
    assert sorted(np.concatenate(folds)) == list(range(80))
    for fold in folds:
        assert np.abs(np.bincount(labels[fold], minlength=3) - [10, 4.6, 1.4]).max() < 1
    for wrong in ("0/5", "6/5", "1/1", "1", "a/b", "-1/5", ""):
        with pytest.raises(InputError, match=r"--fold is '.*'; expected a number of so many"):
            fold_indices(labels, wrong)


def test_a_tenth_is_held_out_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        save(tmp_path / name, 20)
    first, again = (choose(open_source(str(tmp_path))) for _ in range(2))
    assert (len(first.train), len(first.held)) == (36, 4)
    assert not set(first.train) & set(first.held)
    assert np.array_equal(first.held, again.held)
    assert first.fingerprint == again.fingerprint
    save(tmp_path / "dog", 21)
    assert choose(open_source(str(tmp_path))).fingerprint != first.fingerprint


def test_mean_and_deviation_are_those_of_the_pixels(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(5):
            pixels = np.zeros((8, 8, 3), np.uint8)
            pixels[::2, :, 0], pixels[..., 1] = 255, 51
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    mean, std = measure_pixels(choose(open_source(str(tmp_path))), 8)
    assert mean == pytest.approx((0.5, 0.2, 0.0))
    assert std == pytest.approx((0.5, 1 / 255, 1 / 255), abs=1e-5)


def test_the_references_evaluation_crop() -> None:
    assert [resize_of(None, size) for size in (224, 192, 96)] == [256, 224, 128]
    assert resize_of(0.875, 224) == 256
    assert resize_of(1.0, 32) == 32


@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.lists(st.floats(0, 0.96875, width=32), min_size=40, max_size=40),
)
@settings(max_examples=100, deadline=None)
def test_random_boxes_are_inside_the_image_and_as_large_as_allowed(
    w: int, h: int, numbers: list[float]
) -> None:
    left, top, right, bottom = random_box((w, h), np.array(numbers, np.float32), (0.08, 1.0), (0.75, 4 / 3))
    assert -1e-6 <= left < right <= 1 + 1e-6
    assert -1e-6 <= top < bottom <= 1 + 1e-6
    ratio = (right - left) * w / ((bottom - top) * h)
    assert 0.75 - 1e-3 <= ratio <= 4 / 3 + 1e-3


@given(
    width=st.integers(1, 600),
    height=st.integers(1, 600),
    size=st.tuples(st.sampled_from([16, 24, 224]), st.sampled_from([16, 24, 224])),
    border=st.sampled_from([1.0, 8 / 7]),
)
@settings(max_examples=200, deadline=None)
def test_the_middle_is_cut_from_images_of_every_size(
    width: int, height: int, size: tuple[int, int], border: float
) -> None:
    resize = (round(border * size[0]), round(border * size[1]))
    assert centre(Image.new("RGB", (width, height)), resize, size, 3).shape == (3, *size)


@pytest.mark.parametrize("side", [225, 232, 239, 450])
def test_a_side_that_does_not_divide_evenly_is_no_damage(side: int) -> None:
    assert centre(Image.new("RGB", (2 * side, side)), (224, 224), (224, 224), 3).shape == (3, 224, 224)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_is_cut_from_the_upright_image_whatever_its_exif_says(
    tmp_path: Path, orientation: int
) -> None:
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[:120, :160, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        from PIL import ImageOps

        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    h, w = upright.shape[:2]
    box = (0.5, 0.25, 1.0, 0.75)
    expected = Image.fromarray(upright).resize(
        (16, 16), Image.Resampling.BILINEAR, box=(box[0] * w, box[1] * h, box[2] * w, box[3] * h)
    )
    with Image.open(tmp_path / "a.jpg") as image:
        found = cropped(image, box, (16, 16), 3, "bilinear")
    assert np.abs(found.transpose(1, 2, 0).astype(int) - np.asarray(expected).astype(int)).max() < 24
    with Image.open(tmp_path / "a.jpg") as image:
        found = centre(image, (32, 32), (32, 32), 3)
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.array_equal(found, square(image, 32, 3))


def test_an_image_that_was_renamed_is_another(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        save(tmp_path / "data" / name, 20)
    before = choose(open_source(str(tmp_path / "data"))).fingerprint
    (tmp_path / "data").rename(tmp_path / "moved")
    assert choose(open_source(str(tmp_path / "moved"))).fingerprint == before
    (tmp_path / "moved" / "cat" / "00.png").rename(tmp_path / "moved" / "cat" / "99.png")
    assert choose(open_source(str(tmp_path / "moved"))).fingerprint != before


def test_many_damaged_images_in_a_row_are_replaced_while_they_are_few(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        save(tmp_path / name, 2)
    good, damaged = tmp_path / "cat" / "00.png", tmp_path / "damaged.png"
    damaged.write_text("no image")
    files = [damaged if 100 <= number < 116 else good for number in range(2000)]
    source = open_source(str(tmp_path))
    source = replace(source, files={"train": files}, labels={"train": np.zeros(2000, np.int64)})  # type: ignore[type-var]
    images = Decoded(source, "train", np.arange(2000), Preprocessing.usual(8, 3), Recipe(), seed=0)
    _, labels, indices, bad = images.__getitems__([(0, position) for position in range(98, 104)])
    assert labels.tolist() == [0] * 6
    assert indices.tolist() == [98, 99, 116, 116, 116, 116]
    assert len(set(bad)) == 1  # they are one file here
