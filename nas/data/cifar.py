"""CIFAR-10 and CIFAR-100 in their binary version, as a folder or as the archive it comes in.

Each record is one label byte (two for CIFAR-100: coarse, then fine) and 3×32×32 bytes, channels first.
The Python version of these sets is pickled and is not read.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from candidates.errors import InputError
from nas.data.source import SEARCHED, TEST, TRAIN, ArraySource

_IMAGE = 3 * 32 * 32
_TEN = {TRAIN: [f"data_batch_{i}.bin" for i in range(1, 6)], TEST: ["test_batch.bin"]}
_HUNDRED = {TRAIN: ["train.bin"], TEST: ["test.bin"]}
_NAMES = ("batches.meta.txt", "fine_label_names.txt")
_LARGEST = 1 << 29  # bytes of one file in an archive


def is_cifar(names: set[str]) -> bool:
    """Whether files of these names are CIFAR's binary version."""
    return _TEN[TRAIN][0] in names or _HUNDRED[TRAIN][0] in names


def load_cifar_folder(path: Path, splits: Sequence[str] = SEARCHED) -> ArraySource:
    """From a folder with `data_batch_1.bin` … or `train.bin`."""
    files = {p.name: p for p in path.iterdir() if p.suffix in (".bin", ".txt")}
    return _load(str(path), {name: p.read_bytes for name, p in files.items()}, splits)


def load_cifar_archive(path: Path, splits: Sequence[str] = SEARCHED) -> ArraySource:
    """From `cifar-10-binary.tar.gz` or `cifar-100-binary.tar.gz`, without unpacking it."""
    wanted = {
        *_NAMES,
        *(part for split in splits for parts in (_TEN, _HUNDRED) for part in parts.get(split, ())),
    }
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and name in wanted and member.size <= _LARGEST:
                    file = archive.extractfile(member)
                    if file is not None:
                        contents[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path} cannot be read as a tar archive: {error} (is it cut short?)") from None
    if not is_cifar(set(contents)):
        raise InputError(
            f"{path} holds neither data_batch_1.bin nor train.bin; expected CIFAR's binary version "
            "(the Python version is pickled and is not read)"
        )

    def reader(data: bytes) -> Callable[[], bytes]:
        return lambda: data

    return _load(str(path), {name: reader(data) for name, data in contents.items()}, splits)


def _load(name: str, files: Mapping[str, Callable[[], bytes]], splits: Sequence[str]) -> ArraySource:
    ten = _TEN[TRAIN][0] in files
    known, label_bytes, classes = (_TEN, 1, 10) if ten else (_HUNDRED, 2, 100)
    images, labels = {}, {}
    for split in splits:
        parts = known.get(split, [])
        missing = [part for part in parts if part not in files]
        if split == TRAIN and missing:
            raise InputError(f"{name} lacks {', '.join(missing)} of CIFAR's binary version")
        if missing or not parts:
            continue
        records = np.concatenate([_records(name, part, files[part](), label_bytes) for part in parts])
        labels[split] = records[:, label_bytes - 1].astype(np.int64)
        images[split] = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return ArraySource(name, _class_names(files, classes), images, labels)


def _records(name: str, part: str, data: bytes, label_bytes: int) -> np.ndarray:
    size = label_bytes + _IMAGE
    if not data or len(data) % size:
        raise InputError(
            f"{name}: {part} has {len(data)} bytes; expected a multiple of {size} (is it cut short?)"
        )
    return np.frombuffer(data, np.uint8).reshape(-1, size)


def _class_names(files: Mapping[str, Callable[[], bytes]], classes: int) -> tuple[str, ...]:
    for name in _NAMES:
        if name in files:
            names = files[name]().decode("utf-8", "replace").split()
            if len(names) == classes:
                return tuple(names)
    return tuple(str(label) for label in range(classes))
