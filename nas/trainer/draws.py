"""Random numbers that depend on what they are for, not on who asks or when.

A number is a hash of the seed, the epoch, the image's index and a name (SplitMix64: Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014). So an image is augmented alike by any worker,
in any batch, on any number of devices, and after a resume; there is no state to save.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(seed: int, epoch: int, indices: NDArray[np.int64], name: str, count: int) -> NDArray[np.float32]:
    """N × `count` numbers from 0 (included) to 1 (excluded), a row for each image."""
    with np.errstate(over="ignore"):
        rows = _mixed(np.uint64(key(seed, epoch, name)) + indices.astype(np.uint64) * _GOLDEN)
        columns = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        bits = _mixed(rows[:, None] + columns[None, :])
    # 24 bits are what a float32 below 1 holds.
    return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def key(seed: int, position: int, name: str) -> int:
    """64 bits for a seed, a position (an epoch, a step) and a name: a seed for other generators."""
    with np.errstate(over="ignore"):
        mixed = np.array([seed % 2**64], np.uint64)
        for value in (position, zlib.crc32(name.encode())):
            mixed = _mixed(mixed * _GOLDEN + np.uint64(value % 2**64) + _GOLDEN)
    return int(mixed[0])


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
