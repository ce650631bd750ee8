"""Images of noise in any number and size, for a dry run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.data.source import TEST, TRAIN, VALIDATION, Labels, Pixels

_KINDS = 16  # different images; any number of them is made of these


@dataclass(frozen=True)
class FakeSource:
    """Labels in turn, images of noise that tell nothing about them; nothing is stored but a few images."""

    images: Pixels
    labels: Mapping[str, Labels]
    class_names: tuple[str, ...]
    name: str = "fake data"
    unreadable_allowed: float = 0.0

    @classmethod
    def of(cls, classes: int, size: int, channels: int, count: int) -> FakeSource:
        """`count` images to train on and a quarter as many to validate and to test, at least two a class."""
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (_KINDS, size, size, channels), np.uint8)
        counts = {TRAIN: max(count, 2 * classes), VALIDATION: max(count // 4, 1), TEST: max(count // 4, 1)}
        labels = {split: np.arange(many, dtype=np.int64) % classes for split, many in counts.items()}
        return cls(images, labels, tuple(str(label) for label in range(classes)))

    @property
    def own_size(self) -> int:
        """The images' side."""
        return int(self.images.shape[1])

    @property
    def channels(self) -> int:
        """1 or 3."""
        return int(self.images.shape[3])

    def opened(self, split: str, index: int) -> Image.Image:
        """One image."""
        pixels = self.images[index % _KINDS]
        return Image.fromarray(pixels[..., 0] if self.channels == 1 else pixels)

    def place(self, split: str, index: int) -> str:
        """The image's number."""
        return f"{split} image {index}"

    def fetch(self, split: str, indices: NDArray[np.int64], size: int) -> tuple[Pixels, list[str]]:
        """Images at their own size, which is the only one that is asked for."""
        return self.images[indices % _KINDS].transpose(0, 3, 1, 2), []
