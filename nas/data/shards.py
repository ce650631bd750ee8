"""Tar shards: images in a few large archives, read in place, as WebDataset's and others' are laid out.

`train-000000.tar`, `val-000000.tar`, … in one folder. Inside, `key.jpg` goes with `key.cls` (a class's number or
name), or the images are in folders called as their classes. Only the headers are read when the shards are opened.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from candidates.errors import InputError
from nas.data.folder import EXTENSIONS, SPLITS, FolderSource
from nas.data.source import MOST_CLASSES, SEARCHED, TRAIN, Labels, sorted_classes

_LARGEST_LABEL = 1000  # bytes
_LABEL = ".cls"


@dataclass(frozen=True)
class Member:
    """Where an image's bytes are."""

    shard: Path
    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class ShardSource(FolderSource):
    """Images as members of tar files; `files` has one empty path for each, `members` say where they are."""

    members: dict[str, tuple[Member, ...]] | None = None

    def opened(self, split: str, index: int) -> Image.Image:
        """One image, not decoded yet."""
        member = self._member(split, index)
        with member.shard.open("rb") as file:
            file.seek(member.offset)
            return Image.open(io.BytesIO(file.read(member.size)))

    def place(self, split: str, index: int) -> str:
        """The shard and the name inside it."""
        member = self._member(split, index)
        return f"{member.shard}:{member.name}"

    def _member(self, split: str, index: int) -> Member:
        assert self.members is not None, "load_shards gives the members"
        return self.members[split][index]


def shards_of(names: set[str]) -> dict[str, list[str]]:
    """The shards of each split among file names; empty where there are none to train on."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        for split, words in SPLITS.items():
            if name.lower().endswith(".tar") and name.lower().startswith(words):
                found.setdefault(split, []).append(name)
    return found if TRAIN in found else {}


def load_shards(folder: Path, names: dict[str, list[str]], splits: Sequence[str] = SEARCHED) -> ShardSource:
    """The images of the shards `names`; InputError for a damaged shard, or an image without a label."""
    found = {
        split: [item for name in names[split] for item in _labelled(folder / name)]
        for split in splits
        if split in names
    }
    class_names = sorted_classes({label for _, label in found[TRAIN]})
    if not class_names:
        raise InputError(
            f"{folder / names[TRAIN][0]} and its like hold no images with labels (key.jpg and key.cls)"
        )
    if len(class_names) > MOST_CLASSES:
        raise InputError(f"{folder} has {len(class_names)} classes; expected at most {MOST_CLASSES}")
    numbers = {name: number for number, name in enumerate(class_names)}
    labels: dict[str, Labels] = {}
    for split, items in found.items():
        for member, label in items:
            if label not in numbers:
                raise InputError(
                    f"{member.shard}:{member.name} is of the class {label!r}, of which there is no image to train on"
                )
        labels[split] = np.array([numbers[label] for _, label in items], np.int64)
    members = {split: tuple(member for member, _ in items) for split, items in found.items()}
    files = {split: (Path(),) * len(items) for split, items in members.items()}
    return ShardSource(str(folder), tuple(class_names), files, labels, members=members)


def _labelled(shard: Path) -> Iterator[tuple[Member, str]]:
    """The images of one shard, each with its label."""
    images: dict[str, Member] = {}
    labels: dict[str, str] = {}
    try:
        with tarfile.open(shard, "r:") as archive:  # not compressed: members are read in place
            for member in archive:
                name = PurePosixPath(member.name)
                key = str(name.with_suffix(""))
                if not member.isfile() or name.name.startswith("."):
                    continue
                if name.suffix.lower() in EXTENSIONS:
                    images[member.name] = Member(shard, member.name, member.offset_data, member.size)
                elif name.suffix.lower() == _LABEL and member.size <= _LARGEST_LABEL:
                    file = archive.extractfile(member)
                    labels[key] = "" if file is None else file.read().decode("utf-8", "replace").strip()
            end = archive.offset
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{shard} cannot be read as an uncompressed tar archive: {error}") from None
    if shard.stat().st_size < end + tarfile.BLOCKSIZE:  # a block of zeros ends an archive
        raise InputError(f"{shard} is cut short at byte {shard.stat().st_size}; its last part is missing")
    for image in images.values():
        key = str(PurePosixPath(image.name).with_suffix(""))
        label = labels.get(key) or PurePosixPath(image.name).parent.name
        if not label:
            raise InputError(
                f"{shard}:{image.name} has no label; expected {key}{_LABEL}, or a folder called as its class"
            )
        yield image, label
