"""What `--data` can name, and what a source in memory refuses."""

import numpy as np
import pytest

from candidates.errors import InputError
from nas.data import open_source
from nas.data.source import TRAIN, ArraySource


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no/such/path", "data 'no/such/path' does not exist; expected digits, a folder"),
        ("~nobody-of-this-name/data", "data '~nobody-of-this-name/data' cannot be a path"),
        ("x" * 5000, "cannot be a path: File name too long"),
        ("a\0b", "data"),
    ],
)
def test_paths_that_are_none(name, words):
    with pytest.raises(InputError, match=words) as caught:
        open_source(name)
    assert len(str(caught.value)) < 400


def test_a_file_of_an_unknown_kind(tmp_path):
    file = tmp_path / "data.xlsx"
    file.write_text("1,2")
    with pytest.raises(InputError, match=r"data\.xlsx' is a file of an unknown kind; expected digits"):
        open_source(str(file))


def test_middle_square_and_resizing():
    images = np.zeros((2, 4, 8, 1), np.uint8)
    images[:, :, 2:6] = 200
    source = ArraySource("wide", ("a", "b"), {TRAIN: images}, {TRAIN: np.array([0, 1])})
    pixels, problems = source.fetch(TRAIN, np.array([1]), 4)
    assert pixels.shape == (1, 1, 4, 4)
    assert (pixels == 200).all()
    assert problems == []
    assert (source.fetch(TRAIN, np.array([0, 1]), 9)[0] == 200).all()
