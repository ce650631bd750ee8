"""In which order an epoch visits the training images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.data.source import Labels
from nas.trainer import draws

Indices = NDArray[np.int64]


def epoch_order(
    labels: Labels, seed: int, epoch: int, fraction: float = 1.0, balanced: bool = False
) -> Indices:
    """Positions of the images that epoch number `epoch` (from 0) visits.

    A `fraction` below 1 makes partial epochs: as many as fill a whole pass share one permutation, so every
    image is visited once in each pass. `balanced` visits every class equally often, in all as many images as
    there are: rare classes repeat, frequent ones are drawn from.
    """
    parts = epoch_parts(fraction)
    round_number, part = divmod(epoch, parts)
    rng = np.random.default_rng(draws.key(seed, round_number, "order"))
    whole = _balanced(labels, rng) if balanced else rng.permutation(len(labels))
    return np.array_split(whole, parts)[part]


def epoch_parts(fraction: float) -> int:
    """How many epochs of this `fraction` are one pass over the images."""
    return max(1, round(1 / fraction))


def _balanced(labels: Labels, rng: np.random.Generator) -> Indices:
    classes = np.unique(labels)
    each = -(-len(labels) // len(classes))
    chosen = []
    for label in classes:
        mine = np.flatnonzero(labels == label)
        passes = -(-each // len(mine))
        chosen.append(np.concatenate([rng.permutation(mine) for _ in range(passes)])[:each])
    order: Indices = rng.permutation(np.concatenate(chosen))[: len(labels)]
    return order


def updates(
    order: Indices, batch: int, start: int, rank: int, ranks: int, accumulate: int
) -> list[list[Indices]]:
    """For each update from number `start` on, this process's micro-batches.

    An update takes `batch` images (fewer where the data have fewer); the last, incomplete one is dropped.
    """
    batch = update_size(len(order), batch, ranks, accumulate)
    micro = batch // (ranks * accumulate)
    found = []
    for number in range(start, len(order) // batch):
        mine = order[number * batch :][rank * micro * accumulate : (rank + 1) * micro * accumulate]
        found.append([mine[at * micro : (at + 1) * micro] for at in range(accumulate)])
    return found


def update_size(count: int, batch: int, ranks: int, accumulate: int) -> int:
    """How many images an update takes: `batch`, or what a smaller data set allows."""
    share = ranks * accumulate
    return min(batch, count) // share * share
