"""MNIST-style idx files."""

import gzip
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candidates.errors import InputError
from nas.data import load_data, open_source
from nas.data.source import TEST, TRAIN

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("zipped", [False, True])
def test_idx(make, tmp_path, zipped):
    folder = make.files(tmp_path, make.idx(zipped=zipped))
    source = open_source(str(folder))
    assert source.images[TRAIN].shape == (40, 6, 5, 1)
    assert source.class_names == ("0", "1", "2", "3")
    assert (source.own_size, source.channels) == (5, 1)
    assert TEST not in source.labels
    assert len(open_source(str(folder), (TRAIN, TEST)).labels[TEST]) == 20
    data = load_data(str(folder), size=8)
    assert data.train.pixels.shape == (32, 1, 8, 8)


def test_colour_images(make, tmp_path):
    files = {
        IMAGES: make.idx_bytes(make.noise(6, 4, 4, 3)),
        LABELS: make.idx_bytes(np.arange(6, dtype=np.uint8) % 2),
    }
    assert open_source(str(make.files(tmp_path, files))).channels == 3


def test_the_test_split_is_never_read(make, tmp_path):
    files = {name: b"rubbish" if name.startswith("t10k") else data for name, data in make.idx().items()}
    assert load_data(str(make.files(tmp_path, files))).classes == 4


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (LABELS, None, "lacks train-images-idx3-ubyte or train-labels-idx1-ubyte"),
        (IMAGES, b"", "is not an idx file of bytes: it starts with nothing"),
        (IMAGES, b"\x89PNG and more", "is not an idx file of bytes: it starts with 89504e47"),
        (IMAGES, b"\x00\x00\x0d\x03" + bytes(12), "is not an idx file of bytes: it starts with 00000d03"),
        (
            IMAGES,
            b"\x00\x00\x08\x03" + b"\x00\x00\x00\x09" * 3,
            r"has 16 bytes; its header asks for 745 \(is it cut",
        ),
        (IMAGES, b"\x00\x00\x08\x03\x00", "cut short"),
        (IMAGES, b"\x00\x00\x08\x03" + b"\xff" * 12, "cut short"),
        (IMAGES, b"\x00\x00\x08\x04" + b"\x00\x04\x00\x00" * 4, "cut short"),
        (IMAGES, b"\x00\x00\x08\xff" + bytes(1020), "has 255 dimensions; expected 1"),
        (IMAGES, b"\x00\x00\x08\x01\x00\x00\x00\x02ab", "has 1 dimensions; expected 3"),
        (IMAGES, b"\x00\x00\x08\x03" + bytes(12), "train images are 0×0 pixels|train has 0 images"),
        (LABELS, b"\x00\x00\x08\x01\x00\x00\x00\x02\x00\x01", "train has 40 images and 2 labels"),
        (LABELS, b"\x00\x00\x08\x01\x00\x00\x00\x00", "train has 40 images and 0 labels"),
        (LABELS, b"\x00\x00\x08\x01\x00\x00\x00\x28" + bytes(39) + b"\xff", "class 1 has 0 training images"),
    ],
)
def test_wrong_files(make, tmp_path, name, data, words):
    files = {**make.idx(), name: data}
    folder = make.files(tmp_path, {key: value for key, value in files.items() if value is not None})
    with pytest.raises(InputError, match=words) as caught:
        load_data(str(folder))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_images_at_all(make, tmp_path):
    empty = b"\x00\x00\x08\x03" + bytes(12)
    make.files(tmp_path, {IMAGES: empty, LABELS: b"\x00\x00\x08\x01" + bytes(4)})
    with pytest.raises(InputError, match=str(tmp_path)):
        load_data(str(tmp_path))


def test_truncated_gzip(make, tmp_path):
    files = make.idx(zipped=True)
    files[f"{IMAGES}.gz"] = files[f"{IMAGES}.gz"][:-40]
    with pytest.raises(InputError, match=rf"{IMAGES}\.gz cannot be read"):
        open_source(str(make.files(tmp_path, files)))


def test_random_bytes_are_only_input_errors(make, tmp_path):
    folder = make.files(tmp_path, make.idx())
    labels = (folder / LABELS).read_bytes()

    @settings(max_examples=150, deadline=None, database=None)
    @given(
        st.sampled_from([b"", b"\x00\x00\x08", b"\x00\x00\x08\x03\x00\x00\x00\x02"]),
        st.binary(max_size=60),
        st.sampled_from([None, "zip", "broken zip"]),
        st.sampled_from([IMAGES, LABELS]),
    )
    def check(start, data, kind, name):
        content = start + data
        for old in folder.glob("train-*"):
            old.unlink()
        (folder / IMAGES).write_bytes(make.idx_bytes(np.zeros((40, 2, 2), np.uint8)))
        (folder / LABELS).write_bytes(labels)
        (folder / name).unlink()
        if kind:
            zipped = gzip.compress(content)
            (folder / f"{name}.gz").write_bytes(zipped if kind == "zip" else zipped[:-7])
        else:
            (folder / name).write_bytes(content)
        with suppress(InputError):
            load_data(str(folder), size=4)

    check()
