"""Images as batches of bytes on the training device: kept there, or decoded by worker processes as they are needed."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from candidates.preprocessing import Preprocessing
from nas.data.reading import UNREADABLE, centre, cropped, no_warnings, random_box, upright_size
from nas.data.source import Source
from nas.trainer import draws
from nas.trainer.order import Indices
from nas.trainer.recipe import Recipe

RESIDENT_BYTES = 1 << 30  # of pixels, up to which images are kept on the device
_ATTEMPTS = 10  # at a random part of an image, and at finding a readable image in another's place
_PREFETCH = 4  # batches for each worker

Item = tuple[int, int]
"""Epoch, and position among the chosen images."""
Part = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], list[str]]


@dataclass(frozen=True)
class Batch:
    """`pixels` N×C×S×S uint8 and `labels` N int64 on the device (−1: unreadable, to be left out).

    `indices` are the images' numbers in their split, on the CPU, which augmentation is seeded by.
    """

    pixels: Tensor
    labels: Tensor
    indices: Indices
    unreadable: Sequence[str] = ()


class Batches(Protocol):
    """Gives the batches of a plan."""

    def epoch(self, epoch: int, plan: Sequence[Indices]) -> Iterator[Batch]:
        """A batch for each array of positions among the chosen images."""
        ...


class Decoded(Dataset[Part]):
    """Images of a split, decoded: random parts where a recipe crops so, else the middle square.

    An unreadable image is replaced by the next readable one while training, and marked by the label −1 when
    `seed` is None: evaluation.
    """

    def __init__(
        self,
        source: Source,
        split: str,
        chosen: Indices,
        preprocessing: Preprocessing,
        recipe: Recipe,
        seed: int | None,
    ) -> None:
        self.source, self.split, self.chosen, self.recipe, self.seed = source, split, chosen, recipe, seed
        self.size, self.channels = preprocessing.resolution, source.channels
        self._resize = self.size if seed is not None else preprocessing.resize

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, position: int) -> Part:
        return self.__getitems__([(0, position)])

    def __getitems__(self, items: Sequence[Item]) -> Part:
        pixels = np.zeros((len(items), self.channels, self.size, self.size), np.uint8)
        indices, bad = np.zeros(len(items), np.int64), []
        labels = np.full(len(items), -1, np.int64)
        with no_warnings():
            for row, (epoch, position) in enumerate(items):
                for attempt in range(1 if self.seed is None else min(_ATTEMPTS, len(self.chosen))):
                    index = int(self.chosen[(position + attempt) % len(self.chosen)])
                    indices[row] = index
                    try:
                        pixels[row] = self._decode(epoch, index)
                    except UNREADABLE as error:
                        bad.append(f"{self.source.place(self.split, index)}: {error or type(error).__name__}")
                        continue
                    labels[row] = self.source.labels[self.split][index]
                    break
        return pixels, labels, indices, bad

    def _decode(self, epoch: int, index: int) -> NDArray[np.uint8]:
        recipe = self.recipe
        with self.source.opened(self.split, index) as image:
            if self.seed is None or recipe.crop != "resized":
                return centre(image, self._resize, self.size, self.channels)
            numbers = draws.uniform(self.seed, epoch, np.array([index]), "crop", 4 * _ATTEMPTS)[0]
            box = random_box(upright_size(image), numbers, recipe.crop_area, recipe.crop_ratio)
            return cropped(image, box, self.size, self.channels, recipe.interpolation)


class Loaded:
    """Decodes in worker processes, a few batches ahead; with no workers, in this process."""

    def __init__(self, images: Decoded, workers: int, device: torch.device) -> None:
        self._plan, self._device = _Plan(), device
        # The loader has its own generator, so that torch's global one is left to the training.
        self._loader: DataLoader[Part] = DataLoader(
            images,
            batch_sampler=self._plan,
            num_workers=workers,
            collate_fn=_tensors,  # type: ignore[arg-type] # `Decoded` gives a batch, not a list
            pin_memory=device.type == "cuda",
            prefetch_factor=_PREFETCH if workers else None,
            persistent_workers=workers > 0,
            generator=torch.Generator().manual_seed(0),
            worker_init_fn=_leave_signals,
        )

    def epoch(self, epoch: int, plan: Sequence[Indices]) -> Iterator[Batch]:
        """The plan's batches, decoded for that epoch."""
        self._plan.items = [[(epoch, int(position)) for position in part] for part in plan]
        for pixels, labels, indices, bad in self._loader:
            yield Batch(
                pixels.to(self._device, non_blocking=True),
                labels.to(self._device, non_blocking=True),
                indices.numpy(),
                bad,
            )


def _leave_signals(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; what comes of it is the training's to decide."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Plan:
    """A batch sampler that gives what it was told last."""

    def __init__(self) -> None:
        self.items: list[list[Item]] = []

    def __iter__(self) -> Iterator[list[Item]]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def _tensors(part: Part) -> Any:
    pixels, labels, indices, bad = part
    return torch.from_numpy(pixels), torch.from_numpy(labels), torch.from_numpy(indices), bad


class Resident:
    """Images decoded once and kept on the device."""

    def __init__(self, images: Decoded, workers: int, device: torch.device) -> None:
        loader = Loaded(images, workers, torch.device("cpu"))
        parts = list(loader.epoch(0, np.array_split(np.arange(len(images)), -(-len(images) // 256))))
        self._pixels = torch.cat([part.pixels for part in parts]).to(device)
        self._labels = torch.cat([part.labels for part in parts]).to(device)
        self._indices = np.concatenate([part.indices for part in parts])
        self._bad = [name for part in parts for name in part.unreadable]

    def epoch(self, epoch: int, plan: Sequence[Indices]) -> Iterator[Batch]:
        """The plan's batches, gathered on the device."""
        for part in plan:
            positions = torch.from_numpy(part).to(self._pixels.device, non_blocking=True)
            bad, self._bad = self._bad, []  # told once, with the first batch
            yield Batch(self._pixels[positions], self._labels[positions], self._indices[part], bad)


def open_batches(images: Decoded, workers: int, device: torch.device) -> Batches:
    """Kept on the device where they are few and each epoch wants the same pixels of them."""
    total = len(images) * images.channels * images.size**2
    changing = images.seed is not None and images.recipe.crop == "resized"
    return (Loaded if changing or total > RESIDENT_BYTES else Resident)(images, workers, device)
