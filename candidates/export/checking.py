"""What an exported file has to pass before it is kept: it computes what the PyTorch network does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from candidates.errors import RunError
from candidates.export.running import Classify
from candidates.export.samples import Floats, Samples, random_images
from candidates.layered import Layered

TOLERANCE = 1e-4  # the largest difference between the logits of PyTorch and of an exported float model
MAX_DROP = 0.01  # of top-1, from PyTorch's to an int8 model's
FLOAT_CHECKED = 32  # images: a wrong export differs on any of them


@dataclass(frozen=True)
class Check:
    """How a file compares with PyTorch: the logits' largest difference (relative to the largest logit where
    that exceeds 1), or, for an int8 file, how often both give the same class and, for a trained network, the
    top-1 accuracies of both, 0 to 1.

    `images` were compared, `source` says which.
    """

    images: int
    source: str
    difference: float | None = None
    top1: float | None = None
    float_top1: float | None = None
    agreement: float | None = None

    @property
    def drop(self) -> float | None:
        """How much top-1 the file loses, as a fraction of all images."""
        return None if self.top1 is None or self.float_top1 is None else self.float_top1 - self.top1


class Checker:
    """Compares files of `arch` with the network that they were made from, on `samples` or on noise.

    `max_drop` is what an int8 file may lose of top-1.
    """

    def __init__(self, arch: Layered, network: Classify, samples: Samples | None, max_drop: float) -> None:
        self.network, self.samples, self.max_drop = network, samples, max_drop
        self.images = random_images(arch, 4) if samples is None else samples.images[:FLOAT_CHECKED]
        self.source = "random images" if samples is None else samples.source

    def same(self, what: str, classify: Classify) -> Check:
        """A float file's logits are PyTorch's; RunError where they are not."""
        found, expected = classify(self.images), self._expected
        largest = max(1.0, float(abs(expected).max()))
        difference = float(abs(found - expected).max()) / largest
        if not difference <= TOLERANCE:
            raise RunError(
                f"{what} differs from PyTorch's by {difference:.2g}, more than {TOLERANCE:g}; it was not kept"
            )
        return Check(len(self.images), self.source, difference)

    def as_accurate(self, what: str, classify: Classify) -> Check:
        """A quantised file classifies as PyTorch does; RunError where it loses more than `max_drop`.

        Of a network that is not trained, the agreement is told, and nothing asked of it.
        """
        assert self.samples is not None
        labels, theirs = self.samples.labels, self._predicted
        ours = classify(self.samples.images).argmax(1)
        agreement = float((ours == theirs).mean())
        if labels is None:
            return Check(len(ours), self.source, agreement=agreement)
        top1, float_top1 = float((ours == labels).mean()), float((theirs == labels).mean())
        lost = int((theirs == labels).sum()) - int((ours == labels).sum())
        if lost > self.max_drop * len(labels) + 1e-6:  # whole images: exactly what is allowed is no more
            raise RunError(
                f"{what} has {top1:.2%} top-1 on {len(labels)} images and PyTorch {float_top1:.2%}, a drop of "
                f"more than {100 * self.max_drop:g} points (--max-drop); it was not kept. Calibrate with more "
                "images, like those it will see"
            )
        return Check(len(labels), self.source, None, top1, float_top1, agreement)

    @cached_property
    def _expected(self) -> Floats:
        return self.network(self.images)

    @cached_property
    def _predicted(self) -> NDArray[np.int64]:
        assert self.samples is not None
        classes: NDArray[np.int64] = self.network(self.samples.images).argmax(1)
        return classes
