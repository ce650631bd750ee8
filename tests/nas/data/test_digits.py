"""scikit-learn's digits."""

import numpy as np

from nas.data import load_data


def test_digits():
    data = load_data("digits")
    assert (len(data.train), len(data.validation)) == (640, 1157)
    assert (data.size, data.channels, data.classes) == (8, 1, 10)
    assert data.train.pixels.max() == 255
    assert (np.bincount(data.train.labels) >= 61).all()


def test_the_same_every_time_and_for_every_number_of_samples():
    first, again, few = load_data("digits"), load_data("digits", seed=3), load_data("digits", samples=100)
    assert np.array_equal(first.train.pixels, again.train.pixels)
    assert np.array_equal(first.validation.pixels, few.validation.pixels)
    assert len(few.train) == 100
