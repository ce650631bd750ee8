"""Decoding image files: upright, in the wanted colours, cropped and resized."""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_DEEP_MODES = {"I;16", "I;16B", "I;16L", "I;16N", "I", "F"}
GRAY_MODES = {"1", "L", "LA", "La"} | _DEEP_MODES
# What Pillow raises for damaged files, its plugins' own slips included.
UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values that swap width and height

Box = tuple[float, float, float, float]
"""Left, top, right and bottom as fractions of the upright image."""
Size = tuple[int, int]
"""Height and width in pixels."""


@contextmanager
def no_warnings() -> Iterator[None]:
    """Keep to itself what Pillow warns of (odd metadata), which an image survives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def square(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """The middle square of an opened image as C×size×size."""
    mode = _mode(channels)
    image.draft(mode, (size, size))  # a JPEG is decoded at a fraction of its size where that suffices
    return _array(ImageOps.fit(_upright(image, mode), (size, size), Image.Resampling.BILINEAR))


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height after EXIF's orientation, without decoding."""
    width, height = image.size
    return (height, width) if _turned(image) else (width, height)


def _turned(image: Image.Image) -> bool:
    return image.getexif().get(_ORIENTATION) in _TURNED


def cropped(image: Image.Image, box: Box, size: Size, channels: int, interpolation: str) -> NDArray[np.uint8]:
    """The part of an opened image inside `box`, resized to C × `size`."""
    mode, (rows, columns) = _mode(channels), size
    # A JPEG is decoded at a fraction of its size where that suffices for the part.
    wanted = (math.ceil(columns / (box[2] - box[0])), math.ceil(rows / (box[3] - box[1])))
    image.draft(mode, wanted[::-1] if _turned(image) else wanted)
    upright = _upright(image, mode)
    width, height = upright.size
    pixels = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    return _array(upright.resize((columns, rows), FILTERS[interpolation], box=pixels))


def centre(image: Image.Image, resize: Size, size: Size, channels: int) -> NDArray[np.uint8]:
    """The middle C × `size` of an opened image, the largest middle part of which is resized to `resize`."""
    width, height = upright_size(image)
    scale = min(width / resize[1], height / resize[0])
    # Rounded, a part as wide as the image may be a hair wider, which Pillow refuses.
    left = max(0.0, 1 - scale * resize[1] / width) / 2
    top = max(0.0, 1 - scale * resize[0] / height) / 2
    pixels = cropped(image, (left, top, 1 - left, 1 - top), resize, channels, "bilinear")
    y, x = ((whole - part) // 2 for whole, part in zip(resize, size, strict=True))
    return pixels[:, y : y + size[0], x : x + size[1]]


def random_box(
    size: tuple[int, int], draws: NDArray[np.float32], area: tuple[float, float], ratio: tuple[float, float]
) -> Box:
    """A part with a random share of the area and a random aspect ratio (Inception's crop).

    `draws` are numbers from 0 to 1, four for each attempt; where no attempt fits into the image, the largest
    middle part within the allowed ratios is taken.
    """
    width, height = size
    for share, aspect, x, y in draws.reshape(-1, 4).tolist():
        wanted = (area[0] + share * (area[1] - area[0])) * width * height
        shape = math.exp(math.log(ratio[0]) + aspect * (math.log(ratio[1]) - math.log(ratio[0])))
        w, h = math.sqrt(wanted * shape), math.sqrt(wanted / shape)
        if w <= width and h <= height:
            left, top = x * (width - w), y * (height - h)
            return (left / width, top / height, (left + w) / width, (top + h) / height)
    shape = min(max(width / height, ratio[0]), ratio[1])
    w, h = (min(width, height * shape), min(height, width / shape))
    return (
        (width - w) / 2 / width,
        (height - h) / 2 / height,
        (width + w) / 2 / width,
        (height + h) / 2 / height,
    )


def _mode(channels: int) -> str:
    return "L" if channels == 1 else "RGB"


def _upright(image: Image.Image, mode: str) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP_MODES:
        upright = _eight_bits(upright)
    return upright.convert(mode)


def _array(image: Image.Image) -> NDArray[np.uint8]:
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and float grayscale, stretched to 8 bits; Pillow's own conversion would clip it."""
    values = np.nan_to_num(np.asarray(image, np.float64))
    if image.mode.startswith("I;16"):
        top = 65535.0
    else:  # 32 bits and floats do not tell their range: 0 to 1, to 255 or to 65535
        top = next((top for top in (1.0, 255.0) if values.max() <= top), 65535.0)
        top = 255.0 if image.mode == "I" and top == 1.0 else top
    return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).round().astype(np.uint8))
