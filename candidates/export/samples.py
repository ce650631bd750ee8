"""Real images, to quantise with and to hold every exported file against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from candidates.layered import Layered

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """Images N×C×H×W float32, normalised as in training.

    `calibration` decides the ranges of quantised activations; `images` are others, which the files are
    checked on, with `labels` (N int64; None for a network that is not trained, whose accuracy is chance).
    `source` says what they are, for people.
    """

    calibration: Floats
    images: Floats
    labels: NDArray[np.int64] | None
    source: str


def random_images(arch: Layered, count: int) -> Floats:
    """Standard normal noise in the shape of `arch`'s input, the same every time, where no data are given."""
    shape = (count, arch.channels_in, arch.resolution, arch.resolution)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
