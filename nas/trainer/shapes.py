"""Rectangular crops: images of about one aspect ratio are evaluated together, at a size of that ratio.

The middle square leaves a third of a 3:2 photograph out. A network that ends in global pooling takes any
height and width, so images of similar ratio can share a rectangle that shows nearly all of them; fast.ai's
DAWNBench entries validated so on ImageNet.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from nas.data.reading import UNREADABLE, Size, no_warnings, upright_size
from nas.data.source import Source
from nas.trainer.order import Indices

STEP = 8  # longer sides are multiples of it
MOST = 2.0  # the longest rectangle's ratio: of a panorama the middle is seen


def aspect_ratios(source: Source, split: str, indices: Indices) -> NDArray[np.float64]:
    """Width over height of each image, upright; 1 where it cannot be read. Nothing is decoded."""

    def ratio(index: int) -> float:
        try:
            with source.opened(split, index) as image:
                width, height = upright_size(image)
                return width / height
        except UNREADABLE:
            return 1.0

    with no_warnings(), ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return np.array(list(pool.map(ratio, indices.tolist())))


def grouped(ratios: NDArray[np.float64], count: int, side: int) -> dict[Size, Indices]:
    """Positions of the images by the size (height, width) that they are cut to, `count` sizes at most.

    Images in the order of their ratios are dealt into `count` equal groups; the median of a group decides
    its size, whose shorter side is `side`.
    """
    found: dict[Size, list[Indices]] = {}
    for part in np.array_split(np.argsort(ratios, kind="stable"), min(count, len(ratios))):
        found.setdefault(_size(float(np.median(ratios[part])), side), []).append(part)
    return {size: np.sort(np.concatenate(parts)) for size, parts in found.items()}


def _size(ratio: float, side: int) -> Size:
    long = max(ratio, 1 / ratio) * side
    longest = int(MOST * side) // STEP * STEP
    longer = max(side, min(round(long / STEP) * STEP, longest)) if long > side + STEP / 2 else side
    return (longer, side) if ratio < 1 else (side, longer)
