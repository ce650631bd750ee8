"""A `.npz` file with arrays for each split."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from candidates.errors import InputError
from nas.data.source import TEST, TRAIN, VALIDATION, ArraySource, Labels, Pixels

_NAMES = {
    TRAIN: (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")),
    VALIDATION: (("x_val", "y_val"), ("val_images", "val_labels"), ("x_valid", "y_valid")),
    TEST: (("x_test", "y_test"), ("test_images", "test_labels")),
}


def load_npz(path: Path) -> ArraySource:
    """From arrays such as `x_train` (N×H×W or N×H×W×C) and `y_train` (N); pickled ones are refused."""
    images, labels = {}, {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for split, pairs in _NAMES.items():
                pair = next((pair for pair in pairs if set(pair) <= set(file.files)), None)
                if pair is not None:
                    images[split] = _images(path, pair[0], file[pair[0]])
                    labels[split] = _labels(path, pair[1], file[pair[1]])
            found = ", ".join(file.files)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read: {error}") from None
    if TRAIN not in images:
        raise InputError(
            f"{path} holds {found or 'nothing'}; expected x_train and y_train, or images and labels"
        )
    classes = max(int(values.max(initial=0)) for values in labels.values()) + 1
    return ArraySource(str(path), tuple(str(i) for i in range(classes)), images, labels)


def _images(path: Path, name: str, array: np.ndarray) -> Pixels:
    if array.ndim == 3:
        array = array[..., None]
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise InputError(f"{path}: {name} holds floats outside 0 to 1; expected those, or uint8")
        array = np.round(array * 255)
    elif array.dtype != np.uint8 and (array.size == 0 or array.min() < 0 or array.max() > 255):
        raise InputError(f"{path}: {name} is {array.dtype} with values outside 0 to 255")
    result: Pixels = array.astype(np.uint8)
    return result


def _labels(path: Path, name: str, array: np.ndarray) -> Labels:
    flat = array.reshape(len(array), -1)
    if flat.shape[1] != 1 or not np.issubdtype(flat.dtype, np.integer):
        raise InputError(
            f"{path}: {name} is {array.dtype} of shape {array.shape}; expected whole numbers, one each"
        )
    result: Labels = flat[:, 0].astype(np.int64)
    return result
