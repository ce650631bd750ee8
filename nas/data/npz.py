"""A `.npz` file with arrays for each split."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from candidates.errors import InputError
from nas.data.source import (
    MOST_CLASSES,
    SEARCHED,
    TEST,
    TRAIN,
    VALIDATION,
    ArraySource,
    Labels,
    Pixels,
    numbered_classes,
)

_NAMES = {
    TRAIN: (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")),
    VALIDATION: (("x_val", "y_val"), ("val_images", "val_labels"), ("x_valid", "y_valid")),
    TEST: (("x_test", "y_test"), ("test_images", "test_labels")),
}
# What numpy and zipfile raise for a damaged file, an encrypted one, an unknown compression, an absurd shape.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_npz(path: Path, splits: Sequence[str] = SEARCHED) -> ArraySource:
    """From arrays such as `x_train` (N×H×W or N×H×W×C) and `y_train` (N); pickled ones are refused."""
    images, labels = {}, {}
    with _opened(path) as file:
        found = ", ".join(file.files)
        for split in splits:
            pair = next((pair for pair in _NAMES[split] if set(pair) <= set(file.files)), None)
            if pair is not None:
                images[split] = _images(path, pair[0], _array(path, file, pair[0]))
                labels[split] = _labels(path, pair[1], _array(path, file, pair[1]))
    if TRAIN not in images:
        raise InputError(
            f"{path} holds {found or 'nothing'}; expected x_train and y_train, or images and labels"
        )
    return ArraySource(str(path), numbered_classes(str(path), labels), images, labels)


def _opened(path: Path) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise InputError(f"{path} cannot be read as an .npz file: {error}") from None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise InputError(f"{path} is a single array; expected an .npz with x_train and y_train")
    return file


def _array(path: Path, file: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        array = file[name]
    except _UNREADABLE as error:
        raise InputError(f"{path}: {name} cannot be read: {error or type(error).__name__}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":  # a member need not be an array
        kind = getattr(array, "dtype", "not an array")
        raise InputError(f"{path}: {name} is {kind}; expected an array of numbers")
    return array


def _images(path: Path, name: str, array: np.ndarray) -> Pixels:
    if array.size == 0:
        raise InputError(f"{path}: {name} is empty, of shape {array.shape}; expected images")
    if array.ndim == 3:
        array = array[..., None]
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise InputError(f"{path}: {name} holds floats outside 0 to 1; expected those, or uint8")
        array = np.round(array * 255)
    elif array.dtype != np.uint8 and (array.min() < 0 or array.max() > 255):
        raise InputError(f"{path}: {name} is {array.dtype} with values outside 0 to 255")
    result: Pixels = array.astype(np.uint8)
    return result


def _labels(path: Path, name: str, array: np.ndarray) -> Labels:
    if array.shape[:1] != (array.size,) or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{path}: {name} is {array.dtype} of shape {array.shape}; expected whole numbers, one each"
        )
    if array.size and array.max() > MOST_CLASSES:  # before the conversion wraps what int64 cannot hold
        raise InputError(
            f"{path}: {name} goes up to {array.max()}; expected labels of at most {MOST_CLASSES}"
        )
    result: Labels = array.ravel().astype(np.int64)
    return result
