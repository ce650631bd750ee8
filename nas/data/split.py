"""Choosing images so that every class keeps its share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.data.source import Labels


def stratified(labels: Labels, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` indices into `labels`, ascending, each class in proportion (largest remainders rounded up)."""
    if count >= len(labels):
        return np.arange(len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    quota = np.floor(exact).astype(int)
    remainders = np.argsort(quota - exact, kind="stable")
    quota[remainders[: count - quota.sum()]] += 1
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, quota, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
