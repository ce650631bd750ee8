"""Which images are trained on, which are held out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candidates.errors import InputError
from nas.data import dataset
from nas.data.dataset import from_source
from nas.data.source import TEST, TRAIN, VALIDATION, ArraySource


def numbered(labels, val=0, classes=None):
    """A source whose images hold their own number, so that it shows where they went."""
    labels = np.asarray(labels, np.int64)
    count = len(labels) + val
    images = np.zeros((count, 2, 2, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(count) // 256, np.arange(count) % 256
    names = tuple(str(i) for i in range(classes or labels.max() + 1))
    split = {TRAIN: (images[: len(labels)], labels)}
    if val:
        split[VALIDATION] = (images[len(labels) :], np.resize(labels, val))
    return ArraySource(
        "numbered", names, {s: i for s, (i, _) in split.items()}, {s: y for s, (_, y) in split.items()}
    )


def numbers(images):
    return (images.pixels[:, 0, 0, 0].astype(int) * 256 + images.pixels[:, 1, 0, 0]).tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(30, 300), st.integers(0, 9), st.data())
def test_validation_and_training_are_disjoint_and_the_samples_do_not_move_it(classes, count, seed, data):
    source = numbered(np.arange(count) % classes)
    everything = from_source(source, None, None, seed)
    few = from_source(source, None, data.draw(st.integers(classes, count)), seed)
    assert not set(numbers(everything.train)) & set(numbers(everything.validation))
    assert len(everything.train) + len(everything.validation) == count
    assert numbers(few.validation) == numbers(everything.validation)
    assert set(numbers(few.train)) <= set(numbers(everything.train))
    assert np.array_equal(few.train.labels, np.array(numbers(few.train)) % classes)


@pytest.mark.parametrize("val", [0, 900])
def test_a_capped_validation_is_the_same_for_every_samples(monkeypatch, val):
    monkeypatch.setattr(dataset, "MOST_VALIDATED", 50)
    source = numbered(np.arange(1000) % 4, val)
    found = [from_source(source, None, samples).validation for samples in (None, 8, 100, 700)]
    assert [len(images) for images in found] == [50] * 4
    assert all(numbers(images) == numbers(found[0]) for images in found)


def test_a_validation_split_of_its_own_is_used_whole():
    data = from_source(numbered([0, 1] * 20, val=10), None, None)
    assert numbers(data.validation) == list(range(40, 50))
    assert len(data.train) == 40


def test_an_empty_validation_split_is_no_split():
    source = numbered([0, 1] * 20)
    source = replace(
        source,
        images={**source.images, VALIDATION: source.images[TRAIN][:0]},
        labels={**source.labels, VALIDATION: source.labels[TRAIN][:0]},
    )
    assert len(from_source(source, None, None).validation) == 8


def test_the_test_split_is_never_fetched():
    class Guarded(ArraySource):
        def fetch(self, split, indices, size):
            assert split != TEST
            return super().fetch(split, indices, size)

    plain = numbered([0, 1] * 20, val=10)
    images = {**plain.images, TEST: plain.images[TRAIN]}
    guarded = Guarded("guarded", plain.class_names, images, {**plain.labels, TEST: plain.labels[TRAIN]})
    assert len(from_source(guarded, None, None).train) == 40


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([0] * 9, 1, "numbered has 1 class; expected at least 2"),
        ([0, 0, 1], 2, "class 1 has 1 training images; expected at least 2"),
        ([0, 0, 1, 1], 3, "class 2 has 0 training images; expected at least 2"),
    ],
)
def test_too_few_images(labels, classes, words):
    with pytest.raises(InputError, match=words):
        from_source(numbered(labels, classes=classes), None, None)


def test_fewer_samples_than_classes():
    with pytest.raises(InputError, match="proxy-samples is 3; expected a whole number of at least 4"):
        from_source(numbered(np.arange(40) % 4), None, 3)


def test_own_size_is_at_most_64():
    images = np.zeros((8, 100, 80, 3), np.uint8)
    labels = np.arange(8) % 2
    source = ArraySource("large", ("a", "b"), {TRAIN: images}, {TRAIN: labels})
    assert from_source(source, None, None).size == 64
    assert from_source(source, 17, None).train.pixels.shape[1:] == (3, 17, 17)
