"""Images in memory, ready to train a proxy on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from candidates import checks
from candidates.errors import InputError
from nas.data.source import TRAIN, VALIDATION, Labels, Pixels, Source
from nas.data.split import stratified

LARGEST_PROXY = 64  # pixels: the proxy's default never exceeds this
HELD_OUT = 0.2  # of the training images, where there is no validation split
MOST_VALIDATED = (
    5_000  # images: a standard error of 0.7 points at worst, and a small part of the training's time
)


@dataclass(frozen=True)
class Images:
    """`pixels` N×C×H×W uint8 and `labels` N int64."""

    pixels: Pixels
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DataSet:
    """A training and a held-out validation split; the test split is never loaded."""

    name: str
    class_names: tuple[str, ...]
    train: Images
    validation: Images
    skipped: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Side of the square images in pixels."""
        return int(self.train.pixels.shape[2])

    @property
    def channels(self) -> int:
        """Input channels."""
        return int(self.train.pixels.shape[1])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def describe(self) -> dict[str, Any]:
        """What an accuracy on these images has to be reported with."""
        return {
            "name": self.name,
            "classes": self.classes,
            "train_images": len(self.train),
            "validation_images": len(self.validation),
            "size": self.size,
            "channels": self.channels,
            "skipped_images": len(self.skipped),
        }


def from_source(source: Source, size: int | None, samples: int | None, seed: int = 0) -> DataSet:
    """Choose the images and load them.

    `size` is their side in pixels (None: their own, at most 64), `samples` the most images to train on
    (None: all). Where the source has no validation split, a fifth of the training split is held out, the
    same one for every `samples`.
    """
    if size is None:
        size = min(source.own_size, LARGEST_PROXY)
    rng = np.random.default_rng(seed)
    labels = source.labels[TRAIN]
    _check_classes(source)
    if VALIDATION in source.labels and len(source.labels[VALIDATION]):
        train, held_split = np.arange(len(labels)), VALIDATION
        held = np.arange(len(source.labels[VALIDATION]))
    else:
        held, held_split = stratified(labels, max(1, round(HELD_OUT * len(labels))), rng), TRAIN
        train = np.setdiff1d(np.arange(len(labels)), held)
    # Drawn before the samples, so that these do not decide which images are held out.
    held = held[stratified(source.labels[held_split][held], MOST_VALIDATED, rng)]
    if samples is not None:
        checks.integer("proxy-samples", samples, minimum=source_classes(source))
        train = train[stratified(labels[train], samples, rng)]
    skipped: list[str] = []
    loaded = [
        _load(source, split, indices, size, skipped)
        for split, indices in ((TRAIN, train), (held_split, held))
    ]
    _check_skipped(source, skipped, len(train) + len(held))
    return DataSet(source.name, source.class_names, loaded[0], loaded[1], tuple(skipped))


def source_classes(source: Source) -> int:
    """How many classes the source has."""
    return len(source.class_names)


def _check_classes(source: Source) -> None:
    counts = np.bincount(source.labels[TRAIN], minlength=len(source.class_names))
    if len(counts) < 2:
        raise InputError(f"{source.name} has {len(counts)} class; expected at least 2")
    fewest = int(counts.argmin())
    if counts[fewest] < 2:
        raise InputError(
            f"{source.name}: class {source.class_names[fewest]} has {counts[fewest]} training images; "
            "expected at least 2"
        )


def _load(source: Source, split: str, indices: np.ndarray, size: int, skipped: list[str]) -> Images:
    pixels, problems = source.fetch(split, indices, size)
    labels = source.labels[split][indices]
    if problems:
        bad = [int(problem.partition(":")[0]) for problem in problems]
        pixels, labels = np.delete(pixels, bad, axis=0), np.delete(labels, bad)
        skipped += [problem.partition(": ")[2] for problem in problems]
    return Images(pixels, labels)


def _check_skipped(source: Source, skipped: list[str], total: int) -> None:
    if len(skipped) > source.unreadable_allowed * total:
        raise InputError(
            f"{source.name}: {len(skipped)} of {total} images cannot be read, more than "
            f"{source.unreadable_allowed:.0%}; the first is {skipped[0]}"
        )
