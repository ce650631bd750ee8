"""What a data set on disk offers, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from candidates.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

TRAIN, VALIDATION, TEST = "train", "val", "test"
SEARCHED = (TRAIN, VALIDATION)  # what a search may look at: the test split is for the final network
MOST_CLASSES = 100_000


class Source(Protocol):
    """Labelled images in up to three splits; `train` is always there."""

    @property
    def name(self) -> str:
        """For people: what the data are and where from."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each label."""
        ...

    @property
    def labels(self) -> Mapping[str, Labels]:
        """The labels of each split."""
        ...

    @property
    def own_size(self) -> int:
        """The shorter side that the images have, in pixels."""
        ...

    @property
    def channels(self) -> int:
        """1 for grayscale, 3 for colour."""
        ...

    @property
    def unreadable_allowed(self) -> float:
        """The fraction of images that may turn out unreadable before the data set is refused."""
        ...

    def opened(self, split: str, index: int) -> Image.Image:
        """One image, which need not be decoded yet, to be closed by the caller."""
        ...

    def place(self, split: str, index: int) -> str:
        """Where one image is, for people."""
        ...

    def fetch(self, split: str, indices: NDArray[np.int64], size: int) -> tuple[Pixels, list[str]]:
        """Images as N×C×size×size, all zeros where one is unreadable, and the unreadable ones' names.

        Names have the form `index: path: reason`, with the position within `indices`.
        """
        ...


@dataclass(frozen=True)
class ArraySource:
    """A data set that fits in memory: images N×H×W×C uint8 and labels for each split."""

    name: str
    class_names: tuple[str, ...]
    images: Mapping[str, Pixels]
    labels: Mapping[str, Labels]
    unreadable_allowed: float = 0.0

    def __post_init__(self) -> None:
        for split, images in self.images.items():
            labels = self.labels[split]
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
                raise InputError(
                    f"{self.name}: {split} images are {images.dtype} of shape {images.shape}; "
                    "expected uint8, N×H×W×1 or N×H×W×3"
                )
            if len(images) != len(labels):
                raise InputError(f"{self.name}: {split} has {len(images)} images and {len(labels)} labels")
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.class_names):
                raise InputError(
                    f"{self.name}: {split} labels go from {labels.min()} to {labels.max()}; "
                    f"expected 0 to {len(self.class_names) - 1}"
                )
            if 0 in images.shape[1:3]:
                raise InputError(
                    f"{self.name}: {split} images are {images.shape[1]}×{images.shape[2]} pixels"
                )
            if images.shape[3] != self.channels:
                raise InputError(
                    f"{self.name}: {split} images have {images.shape[3]} channels, those to train on "
                    f"{self.channels}; expected the same"
                )

    @property
    def own_size(self) -> int:
        """The shorter side of the training images."""
        height, width = self.images[TRAIN].shape[1:3]
        return min(int(height), int(width))

    @property
    def channels(self) -> int:
        """1 or 3, as the training images have."""
        return int(self.images[TRAIN].shape[3])

    def opened(self, split: str, index: int) -> Image.Image:
        """One image."""
        from PIL import Image

        pixels = self.images[split][index]
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)

    def place(self, split: str, index: int) -> str:
        """The image's number."""
        return f"{split} image {index}"

    def fetch(self, split: str, indices: NDArray[np.int64], size: int) -> tuple[Pixels, list[str]]:
        """Images cropped to a square and resized; nothing in memory is unreadable."""
        chosen = self.images[split][indices]
        height, width = chosen.shape[1:3]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = chosen[:, top : top + side, left : left + side].transpose(0, 3, 1, 2)
        return (np.ascontiguousarray(square) if side == size else _resized(square, size)), []


def numbered_classes(name: str, labels: Mapping[str, Labels]) -> tuple[str, ...]:
    """Names 0 to the highest label, for formats that name no classes."""
    highest = max((int(values.max()) for values in labels.values() if len(values)), default=0)
    if highest > MOST_CLASSES:
        raise InputError(f"{name} has the label {highest}; expected labels from 0 to {MOST_CLASSES} at most")
    return tuple(str(label) for label in range(highest + 1))


def sorted_classes(names: set[str]) -> list[str]:
    """Numbers in their order, else words in theirs."""
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def _resized(images: Pixels, size: int) -> Pixels:
    import torch
    from torch.nn import functional as F

    parts = [
        F.interpolate(
            torch.from_numpy(np.ascontiguousarray(images[start : start + 1024])),
            (size, size),
            mode="bilinear",
            antialias=True,
        ).numpy()
        for start in range(0, len(images), 1024)
    ]
    result: Pixels = np.concatenate(parts)
    return result
