"""What a full training trains and validates on: which images, at which size, how they are normalised."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from candidates.errors import InputError
from nas.data.source import TEST, TRAIN, VALIDATION, Labels, Source
from nas.data.split import stratified
from nas.trainer.order import Indices

HELD_OUT = 0.1  # of the training images, where there is no validation split
_LOOKED_AT = 1024  # images that mean and deviation are taken from
_BORDER = 32  # the reference evaluates the middle S / (S + 32) of an image


@dataclass(frozen=True)
class TrainingData:
    """A source with the images that are trained on and those held out; `held_split` is where these are."""

    source: Source
    train: Indices
    held_split: str
    held: Indices

    @property
    def classes(self) -> tuple[str, ...]:
        """A name for each label."""
        return self.source.class_names

    @property
    def train_labels(self) -> Labels:
        """The labels of the images that are trained on."""
        return self.source.labels[TRAIN][self.train]

    @property
    def fingerprint(self) -> int:
        """Tells whether a resumed training has the images that it began with, by their names, labels and order.

        The data may have moved as a whole; an image that was replaced under its name is not noticed.
        """
        found = zlib.crc32(self.held.tobytes())
        for split in dict.fromkeys((TRAIN, self.held_split)):
            labels = np.ascontiguousarray(self.source.labels[split])
            found = zlib.crc32(labels.tobytes(), found)
            for index in range(len(labels)):
                place = self.source.place(split, index).removeprefix(self.source.name)
                found = zlib.crc32(place.encode("utf-8", "surrogateescape"), found)
        return found

    def describe(self) -> dict[str, Any]:
        """What an accuracy on these images has to be reported with."""
        share = len(self.held) / (len(self.held) + len(self.train))
        where = "val" if self.held_split == VALIDATION else f"{share:.0%} held out of the training images"
        return {
            "name": self.source.name,
            "classes": len(self.classes),
            "train_images": len(self.train),
            "validation_images": len(self.held),
            "validation_split": where,
        }


def choose(source: Source, fold: str | None = None) -> TrainingData:
    """Hold out a validation split where the source has none: always the same images of a data set.

    `fold`, such as 2/5, holds out that one of so many stratified parts of the training images, whatever
    validation split there is.
    """
    labels = source.labels[TRAIN]
    counts = np.bincount(labels, minlength=len(source.class_names))
    if len(counts) < 2:
        raise InputError(f"{source.name} has {len(counts)} class; expected at least 2")
    if counts.min() < 2:
        name = source.class_names[int(counts.argmin())]
        raise InputError(
            f"{source.name}: class {name} has {counts.min()} training images; expected at least 2"
        )
    if fold is not None:
        held = fold_indices(labels, fold)
        return TrainingData(source, np.setdiff1d(np.arange(len(labels)), held), TRAIN, held)
    if VALIDATION in source.labels and len(source.labels[VALIDATION]):
        return TrainingData(
            source, np.arange(len(labels)), VALIDATION, np.arange(len(source.labels[VALIDATION]))
        )
    held = stratified(labels, max(1, round(HELD_OUT * len(labels))), np.random.default_rng(0))
    return TrainingData(source, np.setdiff1d(np.arange(len(labels)), held), TRAIN, held)


def fold_indices(labels: Labels, fold: str) -> Indices:
    """The images of one fold: every class is dealt out in turn, so that folds have equal shares of it."""
    number, _, count = fold.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) and int(count) > 1):
        raise InputError(f"--fold is {fold!r}; expected a number of so many, such as 1/5")
    if int(count) > len(labels):
        raise InputError(
            f"--fold is {fold!r}, but there are {len(labels)} images to train on; expected fewer folds"
        )
    rng = np.random.default_rng(0)
    order = rng.permutation(len(labels))
    dealt = order[np.argsort(labels[order], kind="stable")]
    found: Indices = np.sort(dealt[int(number) - 1 :: int(count)])
    return found


def test_indices(source: Source) -> Indices:
    """All of the test split; empty where there is none."""
    return np.arange(len(source.labels.get(TEST, ())))


def measure_pixels(data: TrainingData, size: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel of training images at `size`, pixels scaled to 0–1."""
    labels = data.source.labels[TRAIN][data.train]
    some = data.train[stratified(labels, _LOOKED_AT, np.random.default_rng(0))]
    pixels, problems = data.source.fetch(TRAIN, some, size)
    bad = {int(problem.partition(":")[0]) for problem in problems}
    if len(bad) > data.source.unreadable_allowed * len(some):
        raise InputError(
            f"{data.source.name}: {len(bad)} of {len(some)} images cannot be read, more than "
            f"{data.source.unreadable_allowed:.0%}; the first is {problems[0].partition(': ')[2]}"
        )
    good = np.delete(pixels, sorted(bad), axis=0).astype(np.float64) / 255
    mean, std = good.mean((0, 2, 3)), good.std((0, 2, 3))
    return tuple(round(float(m), 6) for m in mean), tuple(round(max(float(s), 1 / 255), 6) for s in std)


def resize_of(fraction: float | None, resolution: int) -> int:
    """What the shorter side is resized to, of which the middle `fraction` is evaluated; None is the reference's."""
    return resolution + _BORDER if fraction is None else round(resolution / fraction)
