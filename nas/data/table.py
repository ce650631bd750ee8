"""A table of images: a row for each, with its path, its label and, where there is one, its split.

CSV, or Parquet where pyarrow is installed. Paths are relative to the table's folder; the columns may be called
as people call them.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from candidates.errors import InputError
from nas.data.folder import SPLITS, FolderSource
from nas.data.source import MOST_CLASSES, SEARCHED, TRAIN, Labels, sorted_classes

SUFFIXES = (".csv", ".parquet")
_COLUMNS = {
    "path": ("path", "image", "file", "filename", "image_path"),
    "label": ("label", "class", "target", "category"),
    "split": ("split", "subset", "fold"),
}
_LARGEST_FIELD = 1 << 20


def load_table(path: Path, splits: Sequence[str] = SEARCHED) -> FolderSource:
    """The images of a table; without a split column, all are to train on.

    InputError for a missing column, an unknown split, a class without training images, or a path that does
    not exist.
    """
    columns = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    found = {name: next((c for c in names if c in columns), None) for name, names in _COLUMNS.items()}
    for name in ("path", "label"):
        if found[name] is None:
            raise InputError(
                f"{path} has the columns {', '.join(columns) or 'none'}; expected {name} "
                f"(or {', '.join(_COLUMNS[name][1:])})"
            )
    paths, labels = columns[str(found["path"])], columns[str(found["label"])]
    where = [TRAIN] * len(paths) if found["split"] is None else columns[found["split"]]
    return _source(path, paths, labels, [_split(path, name) for name in where], splits)


def _source(
    table: Path, paths: list[str], labels: list[str], where: list[str], splits: Sequence[str]
) -> FolderSource:
    for number, (name, label) in enumerate(zip(paths, labels, strict=True), start=1):
        if not name or not label:
            raise InputError(f"{table}: row {number} has no {'path' if not name else 'label'}")
    trained = [label for label, split in zip(labels, where, strict=True) if split == TRAIN]
    if not trained:
        raise InputError(f"{table} has no row to train on; expected rows with the split train")
    class_names = tuple(sorted_classes(set(trained)))
    if len(class_names) > MOST_CLASSES:
        raise InputError(f"{table} has {len(class_names)} classes; expected at most {MOST_CLASSES}")
    numbers = {name: number for number, name in enumerate(class_names)}
    files: dict[str, list[Path]] = {split: [] for split in splits}
    found: dict[str, list[int]] = {split: [] for split in splits}
    for number, (name, label, split) in enumerate(zip(paths, labels, where, strict=True), start=1):
        if split not in files:
            continue
        if label not in numbers:
            raise InputError(
                f"{table}: row {number} has the class {label!r}, of which there is no image to train on"
            )
        files[split].append(table.parent / name)
        found[split].append(numbers[label])
    _check_exists(table, files)
    arrays: dict[str, Labels] = {
        split: np.array(values, np.int64) for split, values in found.items() if values
    }
    return FolderSource(str(table), class_names, {split: tuple(files[split]) for split in arrays}, arrays)


def _check_exists(table: Path, files: dict[str, list[Path]]) -> None:
    """The first path that does not exist, before a training begins; a look at each would cost minutes at scale."""
    for paths in files.values():
        for path in paths[:: max(1, len(paths) // 1000)]:
            if not path.is_file():
                raise InputError(f"{table}: {path} does not exist; paths are relative to {table.parent}")


def _split(table: Path, name: str) -> str:
    for split, names in SPLITS.items():
        if name.strip().lower() in names:
            return split
    known = ", ".join(names[0] for names in SPLITS.values())
    raise InputError(f"{table} has the split {name!r}; expected one of {known}")


def _csv(path: Path) -> dict[str, list[str]]:
    csv.field_size_limit(_LARGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            rows = [row for row in reader if row]
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as CSV: {error}") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise InputError(
                f"{path}: row {number} has {len(row)} values; expected {len(header)}, as the header"
            )
    return {name: [row[place].strip() for row in rows] for place, name in enumerate(header)}


def _parquet(path: Path) -> dict[str, list[str]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise InputError(
            f"{path} is Parquet, which needs pyarrow: pip install 'mobile-nas[parquet]', or give a .csv"
        ) from None
    known = {name for names in _COLUMNS.values() for name in names}
    try:
        names = [name for name in parquet.read_schema(path).names if name.lower() in known]
        table = parquet.read_table(path, columns=names)
    except (ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())[:120]}") from None
    return {
        name.lower(): ["" if value is None else str(value) for value in table.column(name).to_pylist()]
        for name in names
    }
