"""Classifying images with a trained network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax

from candidates.errors import InputError
from candidates.files import expanded
from nas.data.folder import EXTENSIONS
from nas.data.reading import UNREADABLE, centre, no_warnings
from nas.trainer.trained import Trained

TOP = 5
_BATCH = 32


def image_paths(given: Sequence[str]) -> list[Path]:
    """The files, and the images inside the folders, that are named; InputError for what is neither."""
    found: list[Path] = []
    for text in given:
        path = expanded("image", text)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
            if not inside:
                raise InputError(f"{path} holds no images (looked for {', '.join(sorted(EXTENSIONS))})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path} does not exist; expected an image or a folder of images")
    return found


def predictions(model: Trained, paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """For each image its `path` and either the `top` classes with their probabilities, or an `error`."""
    for start in range(0, len(paths), _BATCH):
        part = paths[start : start + _BATCH]
        read = [_read(path, model) for path in part]
        good = [pixels for pixels in read if not isinstance(pixels, str)]
        shares = iter(softmax(model.logits(np.stack(good)), axis=1)) if good else iter(())
        for path, pixels in zip(part, read, strict=True):
            if isinstance(pixels, str):
                yield {"path": str(path), "error": pixels}
                continue
            share = next(shares)
            best = np.argsort(-share, kind="stable")[:TOP]
            top = [{"class": model.name_of(int(i)), "probability": float(share[i])} for i in best]
            yield {"path": str(path), **top[0], "top": top}


def _read(path: Path, model: Trained) -> NDArray[np.uint8] | str:
    """The image as the network's size and channels, or why it cannot be read."""
    wanted = model.preprocessing
    try:
        with no_warnings(), Image.open(path) as image:
            whole, part = (wanted.resize,) * 2, (wanted.resolution,) * 2
            return centre(image, whole, part, model.channels)
    except UNREADABLE as error:
        return str(error) or type(error).__name__
