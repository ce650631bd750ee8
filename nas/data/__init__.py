"""Data sets, in the formats that people have them in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from candidates.errors import InputError
from candidates.files import expanded
from nas.data.dataset import DataSet, Images, from_source
from nas.data.source import SEARCHED, Source

__all__ = ["DataSet", "Images", "Source", "absolute", "known_as", "load_data", "open_source"]

EXPECTED = (
    "expected digits, a folder with train/<class>/*.jpg, CIFAR's binary version, "
    "idx files such as MNIST's, an .npz, or a .csv or .parquet table"
)


def absolute(data: str) -> str:
    """The path `data` as runs and trainings keep it."""
    return os.path.realpath(expanded("data", data))


def known_as(data: str) -> str:
    """What runs and trainings keep of the `data` that a user names: the word `digits`, or an absolute path."""
    return data if data == "digits" else absolute(data)


def load_data(data: str, size: int | None = None, samples: int | None = None, seed: int = 0) -> DataSet:
    """Open `data` and load what a proxy trains on; see `open_source` and `from_source`."""
    return from_source(open_source(data), size, samples, seed)


def open_source(data: str, splits: Sequence[str] = SEARCHED) -> Source:
    """The data set that `data` names: the word `digits`, or a path. Only `splits` of it are read."""
    if data == "digits":
        from nas.data.digits import load_digits

        return load_digits()
    path = expanded("data", data)
    if not path.exists():
        raise InputError(f"data {data!r} does not exist; {EXPECTED}")
    try:
        return _open_folder(path, splits) if path.is_dir() else _open_file(path, splits)
    except OSError as error:
        raise InputError(f"{error.filename or path} cannot be read: {error.strerror or error}") from None


def _open_file(path: Path, splits: Sequence[str]) -> Source:
    name = path.name.lower()
    if name.endswith(".npz"):  # which takes numpy alone
        from nas.data.npz import load_npz

        return load_npz(path, splits)
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        from nas.data.cifar import load_cifar_archive

        return load_cifar_archive(path, splits)
    from nas.data.table import SUFFIXES, load_table

    if path.suffix.lower() in SUFFIXES:
        return load_table(path, splits)
    raise InputError(f"data {str(path)!r} is a file of an unknown kind; {EXPECTED}")


def _open_folder(path: Path, splits: Sequence[str]) -> Source:
    from nas.data.cifar import is_cifar, load_cifar_folder
    from nas.data.folder import load_folder
    from nas.data.idx import is_idx, load_idx
    from nas.data.shards import load_shards, shards_of

    names = {p.name for p in path.iterdir() if p.is_file()}
    if is_cifar(names):
        return load_cifar_folder(path, splits)
    if is_idx(names):
        return load_idx(path, splits)
    shards = shards_of(names)
    if shards:
        return load_shards(path, shards, splits)
    if "data_batch_1" in names:
        raise InputError(f"{path} holds CIFAR's Python version, which is pickled; use its binary version")
    return load_folder(path, splits)
