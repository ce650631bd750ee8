"""A folder of images: `train/<class>/*`, with `val/` and `test/` beside it where there are such."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from candidates.errors import InputError
from nas.data.reading import GRAY_MODES, UNREADABLE, no_warnings, square
from nas.data.source import SEARCHED, TEST, TRAIN, VALIDATION, Labels, Pixels

EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
SPLITS = {
    TRAIN: ("train", "training"),
    VALIDATION: ("val", "valid", "validation"),
    TEST: ("test", "testing"),
}
_LOOKED_AT = 64  # images whose size and mode stand for the whole folder


@dataclass(frozen=True)
class FolderSource:
    """Images as files, decoded when they are fetched."""

    name: str
    class_names: tuple[str, ...]
    files: Mapping[str, tuple[Path, ...]]
    labels: Mapping[str, Labels]
    unreadable_allowed: float = 0.01

    @cached_property
    def _looks(self) -> list[tuple[int, str]]:
        """Shorter side and mode of images spread over the training split."""
        count = len(self.files[TRAIN])
        looks = []
        with no_warnings():
            for index in range(0, count, max(1, count // _LOOKED_AT)):
                try:
                    with self.opened(TRAIN, index) as image:
                        looks.append((min(image.size), image.mode))
                except UNREADABLE:
                    continue
        if not looks:
            raise InputError(f"{self.name}: no image can be read; tried {self.place(TRAIN, 0)} and others")
        return looks

    @property
    def own_size(self) -> int:
        """The median of the images' shorter sides."""
        return int(np.median([side for side, _ in self._looks]))

    @property
    def channels(self) -> int:
        """1 where the images are grayscale, otherwise 3."""
        return 1 if all(mode in GRAY_MODES for _, mode in self._looks) else 3

    def opened(self, split: str, index: int) -> Image.Image:
        """One image, not decoded yet."""
        return Image.open(self.files[split][index])

    def place(self, split: str, index: int) -> str:
        """The path of one image."""
        return str(self.files[split][index])

    def fetch(self, split: str, indices: NDArray[np.int64], size: int) -> tuple[Pixels, list[str]]:
        """Decode, turn upright, crop the middle square, resize."""
        channels = self.channels
        pixels = np.zeros((len(indices), channels, size, size), np.uint8)

        def load(position: int) -> str | None:
            index = int(indices[position])
            try:
                with self.opened(split, index) as image:
                    pixels[position] = square(image, size, channels)
            except UNREADABLE as error:
                return f"{position}: {self.place(split, index)}: {error or type(error).__name__}"
            return None

        # Pillow decodes outside Python's lock; what it warns of (odd metadata) an image survives.
        with no_warnings(), ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            problems = pool.map(load, range(len(indices)))
            return pixels, [problem for problem in problems if problem]


def load_folder(path: Path, splits: Sequence[str] = SEARCHED) -> FolderSource:
    """Find the splits and classes below `path`; without `train/`, its own folders are the classes."""
    folders = _split_folders(path)
    train = folders[TRAIN]
    class_names = tuple(sorted(f.name for f in train.iterdir() if f.is_dir() and not f.name.startswith(".")))
    files: dict[str, tuple[Path, ...]] = {}
    labels: dict[str, Labels] = {}
    for split in splits:
        if split in folders:
            files[split], labels[split] = _list(folders[split], class_names)
    if not files[TRAIN]:
        if any(file.suffix.lower() in EXTENSIONS for file in path.iterdir()):
            raise InputError(
                f"{path} has images in it, and no folders of classes; give the folder above it, whose folders are "
                "the classes"
            )
        raise InputError(
            f"{path} holds no images: looked for {path}/train/<class>/* and {path}/<class>/* "
            f"with {', '.join(sorted(EXTENSIONS))}"
        )
    empty = [name for label, name in enumerate(class_names) if not (labels[TRAIN] == label).any()]
    if empty:
        raise InputError(f"{train / empty[0]} holds no images; remove the folder or fill it")
    return FolderSource(str(path), class_names, files, labels)


def _split_folders(path: Path) -> dict[str, Path]:
    inside = {p.name.lower(): p for p in sorted(path.iterdir()) if p.is_dir()}
    folders = {
        split: next(inside[name] for name in names if name in inside)
        for split, names in SPLITS.items()
        if inside.keys() & set(names)
    }
    if not folders:
        return {TRAIN: path}
    if TRAIN not in folders:
        other = next(iter(folders.values()))
        raise InputError(
            f"{path} has {other.name}/ but no train/; expected {path}/train/<class>/* beside it "
            f"(if {other.name} is a class, put the classes into {path}/train)"
        )
    return folders


def _list(folder: Path, class_names: tuple[str, ...]) -> tuple[tuple[Path, ...], Labels]:
    found: list[Path] = []
    labels: list[int] = []
    for child in sorted(folder.iterdir()):
        if not child.is_dir() or child.name.startswith("."):
            continue
        if child.name not in class_names:
            raise InputError(
                f"{child} is a class that the training images do not have ({_some(class_names)}); "
                "remove it, or add training images of it"
            )
        inside = sorted(p for p in child.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
        found += inside
        labels += [class_names.index(child.name)] * len(inside)
    return tuple(found), np.array(labels, np.int64)


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
