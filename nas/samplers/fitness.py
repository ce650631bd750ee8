"""One number for how good each observation is, whatever the number of objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.samplers.gaussian_process import Array
from nas.samplers.history import Observation


def fitness(observations: Sequence[Observation]) -> Array:
    """The objective itself; of several, minus the share of the others that beat it (n, more is better).

    The observations must have values.
    """
    values = np.array([found.values for found in observations], dtype=float)
    if values.shape[1] == 1:
        return values[:, 0]
    no_worse = (values[None, :, :] >= values[:, None, :]).all(axis=2)
    better = (values[None, :, :] > values[:, None, :]).any(axis=2)
    return -np.asarray((no_worse & better).mean(axis=1), dtype=float)
