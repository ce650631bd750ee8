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
from nas.data.reading import UNREADABLE, Size, centre, cropped, no_warnings, random_box, upright_size
from nas.data.source import Source
from nas.trainer import draws
from nas.trainer.order import Indices
from nas.trainer.recipe import Recipe
from nas.trainer.shapes import aspect_ratios, grouped

RESIDENT_BYTES = 1 << 30  # of pixels, up to which images are kept on the device
_ATTEMPTS = 10  # at a random part of an image
_PREFETCH = 4  # batches for each worker

Item = tuple[int, int]
"""Epoch, and position among the chosen images."""
Part = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], list[str]]


@dataclass(frozen=True)
class Batch:
    """`pixels` N×C×H×W uint8 and `labels` N int64 on the device (−1: unreadable, to be left out).

    `indices` are the images' numbers in their split, on the CPU, which augmentation is seeded by.
    """

    pixels: Tensor
    labels: Tensor
    indices: Indices
    unreadable: Sequence[str] = ()


class Batches(Protocol):
    """Gives the batches of a plan. `groups` are the positions of images that can be in one batch."""

    @property
    def groups(self) -> Sequence[Indices]: ...

    def epoch(self, epoch: int, plan: Sequence[Indices]) -> Iterator[Batch]:
        """A batch for each array of positions among the chosen images."""
        ...


class Decoded(Dataset[Part]):
    """Images of a split, decoded: random parts where a recipe crops so, else the middle.

    That is a square, or for evaluation one of the recipe's `eval_shapes`; a batch has images of one shape.
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
        self._scale = preprocessing.resize / self.size if seed is None else 1.0
        self.shapes: dict[Size, Indices] = {(self.size, self.size): np.arange(len(chosen))}
        if seed is None and recipe.eval_shapes > 1 and len(chosen):
            self.shapes = grouped(aspect_ratios(source, split, chosen), recipe.eval_shapes, self.size)
        # One more than may be unreadable: where all of these are, the training ends before it uses the last.
        allowed = max(1, int(source.unreadable_allowed * len(chosen)))
        self._attempts = 1 if seed is None else min(allowed + 1, len(chosen))
        self._shape_of = np.zeros((len(chosen), 2), np.int64)
        for shape, positions in self.shapes.items():
            self._shape_of[positions] = shape

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, position: int) -> Part:
        return self.__getitems__([(0, position)])

    def __getitems__(self, items: Sequence[Item]) -> Part:
        height, width = self._shape_of[items[0][1]].tolist()
        pixels = np.zeros((len(items), self.channels, height, width), np.uint8)
        indices, bad = np.zeros(len(items), np.int64), []
        labels = np.full(len(items), -1, np.int64)
        with no_warnings():
            for row, (epoch, position) in enumerate(items):
                for attempt in range(self._attempts):
                    index = int(self.chosen[(position + attempt) % len(self.chosen)])
                    indices[row] = index
                    try:
                        pixels[row] = self._decode(epoch, index, (height, width))
                    except UNREADABLE as error:
                        bad.append(f"{self.source.place(self.split, index)}: {error or type(error).__name__}")
                        continue
                    labels[row] = self.source.labels[self.split][index]
                    break
        return pixels, labels, indices, bad

    def _decode(self, epoch: int, index: int, size: Size) -> NDArray[np.uint8]:
        recipe = self.recipe
        with self.source.opened(self.split, index) as image:
            if self.seed is None or recipe.crop != "resized":
                whole = (round(self._scale * size[0]), round(self._scale * size[1]))
                return centre(image, whole, size, self.channels)
            numbers = draws.uniform(self.seed, epoch, np.array([index]), "crop", 4 * _ATTEMPTS)[0]
            box = random_box(upright_size(image), numbers, recipe.crop_area, recipe.crop_ratio)
            return cropped(image, box, size, self.channels, recipe.interpolation)


class Loaded:
    """Decodes in worker processes, a few batches ahead; with no workers, in this process."""

    def __init__(self, images: Decoded, workers: int, device: torch.device) -> None:
        self._plan, self._device = _Plan(), device
        self.groups = list(images.shapes.values())
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
        self.groups = list(images.shapes.values())
        self._bad = [name for part in parts for name in part.unreadable]

    def epoch(self, epoch: int, plan: Sequence[Indices]) -> Iterator[Batch]:
        """The plan's batches, gathered on the device."""
        for part in plan:
            positions = torch.from_numpy(part).to(self._pixels.device, non_blocking=True)
            bad, self._bad = self._bad, []  # told once, with the first batch
            yield Batch(self._pixels[positions], self._labels[positions], self._indices[part], bad)


def open_batches(images: Decoded, workers: int, device: torch.device) -> Batches:
    """Kept on the device where they are few, of one shape, and each epoch wants the same pixels of them."""
    total = len(images) * images.channels * images.size**2
    changing = images.seed is not None and images.recipe.crop == "resized"
    keep = not changing and len(images.shapes) == 1 and total <= RESIDENT_BYTES
    return (Resident if keep else Loaded)(images, workers, device)
