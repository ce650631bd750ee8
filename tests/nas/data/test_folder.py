"""Image folders: layouts, kinds of images, and what is wrong with some."""

import numpy as np
import pytest
from PIL import Image

from candidates.errors import InputError
from nas.data import load_data, open_source
from nas.data.source import TEST, TRAIN, VALIDATION


def fetch_all(source, size, split=TRAIN):
    return source.fetch(split, np.arange(len(source.labels[split])), size)


def one_image(tmp_path, image, name="odd.png", **saving):
    """What a folder gives for one image beside another of the same kind."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        image.save(tmp_path / label / name, **saving)
    source = open_source(str(tmp_path))
    pixels, problems = fetch_all(source, min(image.size))
    assert problems == []
    return source, pixels[0]


def test_train_and_val_are_read_and_test_is_not(photos):
    data = load_data(str(photos), size=8)
    assert data.class_names == ("cat", "dog")
    assert data.train.pixels.shape == (20, 3, 8, 8)
    assert data.validation.pixels.shape == (8, 3, 8, 8)
    assert TEST not in open_source(str(photos)).labels
    assert TEST in open_source(str(photos), (TRAIN, TEST)).labels


def test_an_unreadable_test_split_changes_nothing(photos):
    before = load_data(str(photos), size=8)
    for file in (photos / "test").rglob("*.png"):
        file.write_bytes(b"not an image")
    (photos / "test" / "unknown-class").mkdir()
    after = load_data(str(photos), size=8)
    assert np.array_equal(before.train.pixels, after.train.pixels)
    assert after.skipped == ()


def test_train_alone_holds_out_a_fifth(make, tmp_path):
    for name in ("cat", "dog"):
        make.images(tmp_path / "train" / name, 10)
    data = load_data(str(tmp_path), size=8)
    assert (len(data.train), len(data.validation)) == (16, 4)
    assert np.bincount(data.validation.labels).tolist() == [2, 2]


def test_bare_classes(make, tmp_path):
    for name in ("cat", "dog", ".hidden"):
        make.images(tmp_path / name, 5)
    assert load_data(str(tmp_path), size=8).class_names == ("cat", "dog")


@pytest.mark.parametrize(("train", "val"), [("Train", "Val"), ("training", "valid"), ("TRAIN", "Validation")])
def test_other_names_of_the_splits(make, tmp_path, train, val):
    for split in (train, val):
        for name in ("cat", "dog"):
            make.images(tmp_path / split / name, 3)
    source = open_source(str(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert len(source.labels[VALIDATION]) == 6


def test_mixed_sizes_and_upper_case_extensions(make, tmp_path):
    make.images(tmp_path / "a", 3, size=(40, 20), suffix=".PNG")
    make.images(tmp_path / "a" / "deeper", 3, size=(20, 33), suffix=".JPEG")
    make.images(tmp_path / "b", 4, size=(10, 90), suffix=".Bmp")
    (tmp_path / "b" / "notes.txt").write_text("no image")
    source = open_source(str(tmp_path))
    assert np.bincount(source.labels[TRAIN]).tolist() == [6, 4]
    assert source.own_size == 20
    pixels, problems = fetch_all(source, 16)
    assert pixels.shape == (10, 3, 16, 16)
    assert problems == []


@pytest.mark.parametrize(
    ("mode", "suffix", "channels"),
    [
        ("L", ".png", 1), ("LA", ".png", 1), ("1", ".png", 1), ("RGB", ".jpg", 3), ("RGBA", ".png", 3),
        ("P", ".png", 3), ("P", ".gif", 3), ("CMYK", ".jpg", 3), ("CMYK", ".tif", 3), ("L", ".pgm", 1),
        ("RGB", ".webp", 3), ("I;16", ".png", 1), ("I;16", ".tif", 1), ("I", ".tif", 1), ("F", ".tif", 1),
    ],
)  # fmt: skip
def test_kinds_of_images(tmp_path, mode, suffix, channels):
    gray = np.tile(np.linspace(0, 255, 12), (12, 1))
    if mode == "I;16":
        image = Image.fromarray((gray * 257).astype(np.uint16))
    elif mode == "I":
        image = Image.fromarray((gray * 257).astype(np.int32))
    elif mode == "F":
        image = Image.fromarray((gray / 255).astype(np.float32))
    else:
        image = Image.fromarray(gray.astype(np.uint8)).convert("RGB").convert(mode)
    source, pixels = one_image(tmp_path, image, f"odd{suffix}")
    assert source.channels == channels
    assert pixels.shape == (channels, 12, 12)
    if mode != "1":
        assert np.abs(pixels.mean((0, 1)) - gray[0]).max() < 24


def test_dark_16_bit_images_stay_dark(tmp_path):
    _, pixels = one_image(tmp_path, Image.fromarray(np.full((8, 8), 200, np.uint16)))
    assert pixels.max() <= 1


def test_exif_orientation(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8] = 255  # bright left half, which an orientation of 6 turns to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    _, found = one_image(tmp_path, Image.fromarray(pixels), "turned.jpg", exif=exif, quality=95)
    assert found[:, :6].min() > 200
    assert found[:, 10:].max() < 50


def test_one_corrupt_image_of_200_is_skipped_and_counted(make, tmp_path):
    for name in ("a", "b"):
        make.images(tmp_path / name, 100)
    (tmp_path / "a" / "007.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    data = load_data(str(tmp_path), size=8)
    assert len(data.train) + len(data.validation) == 199
    assert len(data.skipped) == data.describe()["skipped_images"] == 1
    assert "007.png" in data.skipped[0]


def test_more_than_one_percent_corrupt_is_refused_with_the_path(make, tmp_path):
    for name in ("a", "b"):
        make.images(tmp_path / name, 100)
    for index in (3, 4, 5):
        file = tmp_path / "b" / f"00{index}.png"
        file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(InputError, match=r"3 of 200 images cannot be read, more than 1%; .*b/00[345]\.png"):
        load_data(str(tmp_path), size=8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".tif", ".webp", ".bmp", ".ppm"])
def test_damaged_images_are_problems_and_not_crashes(make, tmp_path, suffix):
    rng = np.random.default_rng(1)
    make.images(tmp_path / "a", 2, size=(24, 24), suffix=suffix)
    make.images(tmp_path / "b", 120, size=(24, 24), suffix=suffix)
    for file in sorted((tmp_path / "b").iterdir()):
        data = bytearray(file.read_bytes())
        for at in rng.integers(0, min(len(data), 300), 6):
            data[at] = rng.integers(256)
        file.write_bytes(data[: rng.integers(8, len(data) + 1)])
    source = open_source(str(tmp_path))
    pixels, problems = fetch_all(source, 8)
    assert pixels.shape[0] == 122
    assert all("\n" not in problem for problem in problems)


def test_all_unreadable(make, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            (tmp_path / name / f"{index}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"no image can be read; tried .*a/0\.jpg"):
        load_data(str(tmp_path))


def test_wrong_folders_say_what_was_looked_for(make, tmp_path):
    def refused(words):
        with pytest.raises(InputError, match=words) as caught:
            load_data(str(tmp_path), size=8)
        assert "\n" not in str(caught.value)

    refused(r"holds no images: looked for .*/train/<class>/\* and .*/<class>/\* with \.bmp")
    (tmp_path / "train").mkdir()
    refused("holds no images")
    make.images(tmp_path / "train", 3)  # images, but in no class
    refused("holds no images")
    make.images(tmp_path / "train" / "cat", 5)
    refused("has 1 class; expected at least 2")
    (tmp_path / "train" / "dog").mkdir()
    refused(r"train/dog holds no images; remove the folder or fill it")
    make.images(tmp_path / "train" / "dog", 1)
    refused("class dog has 1 training images; expected at least 2")
    make.images(tmp_path / "train" / "dog", 5)
    make.images(tmp_path / "val" / "bird", 1)
    refused(r"val/bird is a class that the training images do not have \(cat, dog\); remove it, or add")


def test_splits_without_train_are_not_taken_for_classes(make, tmp_path):
    for split in ("val", "test"):
        for name in ("cat", "dog"):
            make.images(tmp_path / split / name, 3)
    with pytest.raises(InputError, match=r"has val/ but no train/; expected .*/train/<class>/\*"):
        load_data(str(tmp_path))
