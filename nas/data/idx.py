"""MNIST-style idx files: `train-images-idx3-ubyte` and its three companions, gzipped or not."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from candidates.errors import InputError
from nas.data.source import SEARCHED, TEST, TRAIN, ArraySource, numbered_classes

_FILES = {TRAIN: "train", TEST: "t10k"}
_LARGEST = 1 << 31  # bytes of one unpacked file
_MOST_DIMENSIONS = 4


def is_idx(names: set[str]) -> bool:
    """Whether files of these names are an idx data set."""
    return any(name.startswith("train-images") for name in names)


def load_idx(path: Path, splits: Sequence[str] = SEARCHED) -> ArraySource:
    """From a folder with the idx files; images N×H×W (or N×H×W×C) and labels N."""
    images, labels = {}, {}
    for split in splits:
        if split not in _FILES:
            continue
        prefix = _FILES[split]
        picture, label = _find(path, f"{prefix}-images"), _find(path, f"{prefix}-labels")
        if picture is None or label is None:
            if split == TRAIN:
                raise InputError(f"{path} lacks train-images-idx3-ubyte or train-labels-idx1-ubyte (or .gz)")
            continue
        array = _read(picture)
        if array.ndim not in (3, 4):
            raise InputError(f"{picture} has {array.ndim} dimensions; expected 3 (images, rows, columns)")
        images[split] = array if array.ndim == 4 else array[..., None]
        labels[split] = _read(label).astype(np.int64).ravel()
    return ArraySource(str(path), numbered_classes(str(path), labels), images, labels)


def _find(path: Path, start: str) -> Path | None:
    return next((p for p in sorted(path.iterdir()) if p.name.startswith(start) and p.is_file()), None)


def _read(path: Path) -> np.ndarray:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_LARGEST)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise InputError(f"{path} is not an idx file of bytes: it starts with {data[:4].hex() or 'nothing'}")
    if data[3] > _MOST_DIMENSIONS:
        raise InputError(f"{path} has {data[3]} dimensions; expected 1 (labels), 3 or 4 (images)")
    start = 4 + 4 * data[3]
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    expected = start + math.prod(shape)
    if len(data) != expected:
        raise InputError(f"{path} has {len(data)} bytes; its header asks for {expected} (is it cut short?)")
    return np.frombuffer(data[start:], np.uint8).reshape(shape)
