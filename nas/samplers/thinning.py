"""The trials that a model is fitted to, where there are very many: its cost is the cube of their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nas.samplers.gaussian_process import Array
from nas.samplers.history import History, Observation
from nas.samplers.model import milestone

MOST = 1_000  # observations; up to so many, all of them count
MOST_PENDING = 500  # points in flight that are believed to give what is expected, the latest


def thinned(history: History) -> History:
    """The history with at most MOST observations and those since the last milestone: half of them the best.

    The other half is spread evenly over the rest, so that the model knows the whole space. What was tried is
    remembered all the same.
    """
    observations = history.observations
    until = milestone(len(observations))
    if until > MOST:
        early = observations[:until]
        order = np.argsort(-merit(early, MOST // 2), kind="stable")
        best, rest = order[: MOST // 2], np.sort(order[MOST // 2 :])
        spread = rest[np.linspace(0, len(rest) - 1, MOST - len(best)).round().astype(int)]
        chosen = np.sort(np.concatenate([best, spread]))
        observations = (*(early[int(i)] for i in chosen), *observations[until:])
    return replace(history, observations=observations, pending=history.pending[-MOST_PENDING:])


def merit(found: Sequence[Observation], enough: int) -> Array:
    """What to sort observations by, more is better: the objective, or with two how many fronts are before theirs.

    Fronts are told apart until `enough` observations are on one. Those without values come last.
    """
    known = np.array([i for i, one in enumerate(found) if one.values is not None], dtype=int)
    merits = np.full(len(found), -np.inf)
    values = np.array([one.values for one in found if one.values is not None], dtype=float)
    if not len(known) or values.shape[1] == 1:
        merits[known] = values[:, 0] if len(known) else 0.0
        return merits
    left = np.lexsort((-values[:, 1], -values[:, 0]))  # from the best in the first objective on
    level = 0
    while len(left) and len(known) - len(left) < enough:
        reached = np.maximum.accumulate(np.concatenate([[-np.inf], values[left, 1]]))[:-1]
        on_front = values[left, 1] > reached
        merits[known[left[on_front]]] = -level
        left, level = left[~on_front], level + 1
    merits[known[left]] = -level
    return merits
