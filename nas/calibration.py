"""Real images from a data set, to quantise an exported network with and to check it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from candidates import Layered
from candidates.errors import InputError
from candidates.export.samples import Samples
from candidates.labels import spelled
from candidates.preprocessing import Preprocessing
from nas.data import open_source
from nas.data.source import TRAIN, VALIDATION, Pixels, Source
from nas.data.split import stratified

CALIBRATED = 128  # images: ranges hardly move after that
CHECKED = 1000
MOST_BYTES = 1 << 30  # of images in memory, to fine-tune on
FEWEST_CALIBRATED, FEWEST_CHECKED = 16, 100  # one image in 100 is the point that an int8 file may lose


@dataclass(frozen=True)
class Calibration:
    """Samples, with the preprocessing that they went through and the network's class names where known."""

    samples: Samples
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None


def load_calibration(
    data: str,
    arch: Layered,
    preprocessing: Preprocessing | None = None,
    labels: Sequence[str] | None = None,
    checked: int = CHECKED,
    trained: bool = True,
) -> Calibration:
    """Images of `data` for `arch`: `CALIBRATED` to calibrate with and up to `checked` others to check on.

    Checks are on the validation split where there is one. Without `preprocessing`, mean and deviation are
    those of the calibration images. `labels` are the network's classes in order where they are known: the
    data's are matched by name. A network that is not `trained` may have other classes than the data; the
    samples have no labels then. InputError for other classes, other channels, or too few images.
    """
    source = open_source(data)
    order = _class_order(source, arch.classes, labels) if trained else None
    if source.channels != arch.channels_in:
        raise InputError(
            f"{source.name} has images of {source.channels} channel(s); the network takes {arch.channels_in}"
        )
    resize = arch.resolution if preprocessing is None else preprocessing.resize
    held_out = bool(len(source.labels.get(VALIDATION, ())))
    (train, _), (images, truth) = _chosen(source, resize, checked)
    if preprocessing is None:
        preprocessing = _measured(arch.resolution, train)
    names = tuple(source.class_names) if labels is None else tuple(labels)
    samples = Samples(
        preprocessing.applied(train),
        preprocessing.applied(images),
        None if order is None else order[truth],
        f"images of {source.name}" if held_out else f"training images of {source.name}",
    )
    return Calibration(samples, preprocessing, names if len(names) == arch.classes else None)


def training_images(
    data: str, preprocessing: Preprocessing
) -> tuple[int, Callable[[NDArray[np.int64]], NDArray[np.float32]]]:
    """How many of `data`'s training images there are, as many as `MOST_BYTES` holds, and what gives them.

    That function takes indices below the count and gives normalised images N×C×H×W.
    """
    source = open_source(data)
    labels = source.labels[TRAIN]
    most = MOST_BYTES // (source.channels * preprocessing.resize**2)
    chosen = stratified(labels, max(1, most), np.random.default_rng(0))
    pixels, _ = _fetched(source, TRAIN, chosen, preprocessing.resize)
    return len(pixels), lambda indices: preprocessing.applied(pixels[indices])


def _class_order(source: Source, classes: int, labels: Sequence[str] | None) -> NDArray[np.int64]:
    """The network's class for each class of the data."""
    found = spelled(source.class_names)
    if len(found) > classes or (labels is None and len(found) != classes):
        raise InputError(
            f"{source.name} has {len(found)} classes and the network {classes}; calibrate with its own classes"
        )
    if labels is None or tuple(found) == tuple(labels):
        return np.arange(len(found))
    places = {name: place for place, name in enumerate(labels)}
    for name in found:
        if name not in places:
            raise InputError(
                f"{source.name} has the class {name!r}, which the network was not trained on; it knows "
                f"{', '.join(labels[:5])}{', …' if len(labels) > 5 else ''}"
            )
    return np.array([places[name] for name in found])


def _chosen(
    source: Source, size: int, checked: int
) -> tuple[tuple[Pixels, NDArray[np.int64]], tuple[Pixels, NDArray[np.int64]]]:
    """Images to calibrate with and, apart from these, images to check on, each with its labels."""
    rng = np.random.default_rng(0)
    train = source.labels[TRAIN]
    held = source.labels.get(VALIDATION)
    split = VALIDATION if held is not None and len(held) else TRAIN
    share = CALIBRATED if split == VALIDATION else min(CALIBRATED, len(train) // 5)
    first = stratified(train, share, rng)
    rest = (
        np.arange(len(source.labels[split]))
        if split == VALIDATION
        else np.setdiff1d(np.arange(len(train)), first)
    )
    second = rest[stratified(source.labels[split][rest], checked, rng)]
    calibration = _fetched(source, TRAIN, first, size)
    checks = _fetched(source, split, second, size)
    for what, images, fewest in (
        ("to calibrate with", calibration, FEWEST_CALIBRATED),
        ("to check on", checks, FEWEST_CHECKED),
    ):
        if len(images[1]) < fewest:
            raise InputError(
                f"{source.name} gives {len(images[1])} images {what}; expected at least {fewest} "
                f"(and {FEWEST_CALIBRATED + FEWEST_CHECKED} in all)"
            )
    return calibration, checks


def _fetched(
    source: Source, split: str, indices: NDArray[np.int64], size: int
) -> tuple[Pixels, NDArray[np.int64]]:
    pixels, problems = source.fetch(split, indices, size)
    labels = source.labels[split][indices]
    bad = [int(problem.partition(":")[0]) for problem in problems]
    return np.delete(pixels, bad, axis=0), np.delete(labels, bad)


def _measured(resolution: int, pixels: Pixels) -> Preprocessing:
    scaled = pixels.astype(np.float64) / 255
    mean, std = scaled.mean((0, 2, 3)), scaled.std((0, 2, 3)).clip(min=1 / 255)
    return Preprocessing(
        resolution,
        resolution,
        tuple(round(float(v), 6) for v in mean),
        tuple(round(float(v), 6) for v in std),
        "the calibration images' mean and deviation",
    )
