"""`.npz` files."""

import io
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candidates.errors import InputError
from nas.data import load_data, open_source
from nas.data.source import TEST, TRAIN, VALIDATION

LABELS = np.arange(20) % 4


def saved(tmp_path, **arrays):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize(
    ("x", "y"), [("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")]
)
def test_names_of_the_training_split(make, tmp_path, x, y):
    images = make.noise(20, 7, 9, 3)
    source = open_source(saved(tmp_path, **{x: images, y: LABELS}))
    assert np.array_equal(source.images[TRAIN], images)
    assert source.labels[TRAIN].tolist() == LABELS.tolist()
    assert (source.own_size, source.channels, len(source.class_names)) == (7, 3, 4)


@pytest.mark.parametrize(
    ("x", "y"), [("x_val", "y_val"), ("val_images", "val_labels"), ("x_valid", "y_valid")]
)
def test_names_of_the_validation_split(make, tmp_path, x, y):
    both = {"x_train": make.noise(20, 6, 6), "y_train": LABELS, x: make.noise(8, 6, 6), y: LABELS[:8]}
    data = load_data(saved(tmp_path, **both))
    assert (len(data.train), len(data.validation), data.channels) == (20, 8, 1)
    assert VALIDATION in open_source(saved(tmp_path, **both)).labels


@pytest.mark.parametrize(("x", "y"), [("x_test", "y_test"), ("test_images", "test_labels")])
def test_the_test_split_is_never_read(make, tmp_path, x, y):
    train = {"x_train": make.noise(20, 6, 6), "y_train": LABELS}
    pickled = np.array([object()])
    data = load_data(saved(tmp_path, **train, **{x: pickled, y: pickled}))
    assert data.classes == 4
    path = saved(tmp_path, **train, **{x: make.noise(4, 6, 6), y: LABELS[:4]})
    assert len(open_source(path, (TRAIN, TEST)).labels[TEST]) == 4


def test_floats_integers_and_columns_of_labels(tmp_path):
    floats = np.linspace(0, 1, 20 * 16, dtype=np.float32).reshape(20, 4, 4)
    source = open_source(saved(tmp_path, x=floats, y=LABELS[:, None]))
    assert np.array_equal(source.images[TRAIN][..., 0], np.round(floats * 255))
    source = open_source(saved(tmp_path, x=np.full((20, 4, 4), 255, np.int64), y=LABELS.astype(np.uint8)))
    assert source.images[TRAIN].dtype == np.uint8
    assert source.images[TRAIN].min() == 255


GOOD = np.zeros((20, 6, 6), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"pictures": GOOD}, "holds pictures; expected x_train and y_train, or images and labels"),
        ({}, "holds nothing; expected x_train"),
        ({"x": GOOD, "y": LABELS - 1}, "train labels go from -1 to 2; expected 0 to 2"),
        ({"x": GOOD, "y": LABELS[:7]}, "train has 20 images and 7 labels"),
        ({"x": GOOD, "y": LABELS * 10**12}, "y goes up to 3000000000000; expected labels of at most"),
        ({"x": GOOD, "y": np.full(20, 2**64 - 1, np.uint64)}, "y goes up to 18446744073709551615"),
        ({"x": GOOD, "y": LABELS * 2}, "class 1 has 0 training images"),
        ({"x": GOOD, "y": LABELS / 3}, "y is float64 of shape .20,.; expected whole numbers, one each"),
        ({"x": GOOD, "y": np.eye(20, dtype=int)}, "y is int64 of shape .20, 20.; expected whole numbers"),
        ({"x": GOOD, "y": np.int64(3)}, r"y is int64 of shape \(\)"),
        ({"x": GOOD, "y": np.array(["cat"] * 20)}, "y is <U3; expected an array of numbers"),
        ({"x": GOOD, "y": LABELS * 0}, "has 1 class; expected at least 2"),
        ({"x": GOOD.astype(str), "y": LABELS}, "x is <U3; expected an array of numbers"),
        ({"x": GOOD * 1j, "y": LABELS}, "x is complex128; expected an array of numbers"),
        ({"x": GOOD + np.nan, "y": LABELS}, "x holds floats outside 0 to 1"),
        ({"x": GOOD + 7.0, "y": LABELS}, "x holds floats outside 0 to 1"),
        ({"x": GOOD - np.int64(1), "y": LABELS}, "x is int64 with values outside 0 to 255"),
        ({"x": GOOD[:0], "y": LABELS[:0]}, "x is empty, of shape"),
        ({"x": GOOD[:, :, :0], "y": LABELS}, "x is empty, of shape"),
        ({"x": GOOD[:, :, 0], "y": LABELS}, r"uint8 of shape .20, 6.; expected uint8, N×H×W×1 or N×H×W×3"),
        ({"x": np.zeros((20, 3, 6, 6), np.uint8), "y": LABELS}, "expected uint8, N×H×W×1 or N×H×W×3"),
        (
            {"x": GOOD, "y": LABELS, "x_val": np.zeros((4, 6, 6, 3), np.uint8), "y_val": LABELS[:4]},
            "val images have 3 channels, those to train on 1",
        ),
        ({"x": np.array([None] * 20), "y": LABELS}, "x cannot be read: .*allow_pickle=False"),
    ],
)  # fmt: skip
def test_wrong_arrays(tmp_path, arrays, words):
    path = saved(tmp_path, **arrays)
    with pytest.raises(InputError, match=words) as caught:
        load_data(path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_npz(tmp_path):
    path = tmp_path / "set.npz"
    for content in (b"", b"PK\x03\x04 rubbish", b"\x80\x04\x95 a pickle."):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"set\.npz cannot be read"):
            open_source(str(path))
    np.save(tmp_path / "one.npy", GOOD)
    path.write_bytes((tmp_path / "one.npy").read_bytes())
    with pytest.raises(InputError, match=r"set\.npz is a single array; expected an \.npz"):
        open_source(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"text")
        archive.writestr("y", b"text")
    with pytest.raises(InputError, match=r"x is not an array"):
        open_source(str(path))


def test_a_header_that_promises_terabytes(tmp_path):
    path = tmp_path / "set.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**7, 10**4, 10**4)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, header.getvalue() + b"short")
    with pytest.raises(InputError, match="x cannot be read"):
        open_source(str(path))


def test_damaged_files_are_only_input_errors(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, x=np.arange(320, dtype=np.uint8).reshape(20, 4, 4), y=LABELS)
    good = path.read_bytes()

    @settings(max_examples=150, deadline=None, database=None)
    @given(
        st.lists(st.tuples(st.integers(0, len(good) - 1), st.binary(min_size=1, max_size=3)), max_size=5),
        st.integers(0, len(good)),
    )
    def check(changes, cut):
        data = bytearray(good)
        for at, new in changes:
            data[at : at + len(new)] = new
        path.write_bytes(data[: len(data) if cut % 3 else cut])
        with suppress(InputError):
            load_data(str(path), size=4)

    check()
