"""Random erasing (arXiv 1708.04896): a rectangle of an image is replaced by the mean colour."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_AREA, _RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)  # the paper's


def erased(inputs: Tensor, numbers: Tensor, probability: float) -> Tensor:
    """`inputs`, normalised N×C×H×W, with zeros in a rectangle of some.

    `numbers`, N×5 from 0 to 1, say whether, how much of the area, with which aspect ratio, and where.
    """
    height, width = inputs.shape[2:]
    whether, share, aspect, x, y = numbers.T
    area = (_AREA[0] + share * (_AREA[1] - _AREA[0])) * height * width
    ratio = torch.exp(math.log(_RATIO[0]) + aspect * (math.log(_RATIO[1]) - math.log(_RATIO[0])))
    h = (area * ratio).sqrt().round().clamp(1, height)
    w = (area / ratio).sqrt().round().clamp(1, width)
    top, left = (y * (height - h + 1)).floor(), (x * (width - w + 1)).floor()
    mask = inside(top, left, h, w, (height, width)) & (whether < probability)[:, None, None]
    return inputs.masked_fill(mask[:, None].to(inputs.device), 0.0)


def inside(top: Tensor, left: Tensor, h: Tensor, w: Tensor, size: tuple[int, int]) -> Tensor:
    """N×H×W: whether a pixel is in the image's rectangle."""
    rows, columns = torch.arange(size[0])[None, :], torch.arange(size[1])[None, :]
    down = (rows >= top[:, None]) & (rows < (top + h)[:, None])
    along = (columns >= left[:, None]) & (columns < (left + w)[:, None])
    return down[:, :, None] & along[:, None, :]
