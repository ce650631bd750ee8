"""Whether a training is to stop or to save, asked after every update; several processes find the same answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SECONDS = 5.0  # between two times at which the processes ask each other, which makes a GPU wait
MOST_UPDATES = 50


class Lookout:
    """Asks `stop`, and looks at the clock for a checkpoint every `save_seconds`.

    Of several processes any may have been asked to stop, and their clocks differ, but all have to do the same after
    the same update: so they add up what they know, at updates that the first one's clock chooses for all.
    """

    def __init__(self, fabric: Fabric, stop: Callable[[], bool], save_seconds: float) -> None:
        self._fabric, self._stop, self._save_seconds = fabric, stop, save_seconds
        self._saved = self._looked = time.monotonic()
        self._updates, self._every = 0, 1

    def after_update(self) -> tuple[bool, bool]:
        """Whether to stop now, and whether a checkpoint is due."""
        if self._fabric.world_size == 1:
            return self._stop(), self._due()
        self._updates += 1
        if self._updates < self._every:
            return False, False
        first = self._fabric.is_global_zero
        spent = (time.monotonic() - self._looked) / self._updates
        every = max(1, min(MOST_UPDATES, round(SECONDS / max(spent, 1e-6))))
        known = [float(self._stop()), float(first and self._due()), float(every if first else 0)]
        said: torch.Tensor = self._fabric.all_reduce(  # type: ignore[assignment]
            torch.tensor(known, device=self._fabric.device), reduce_op="sum"
        )
        stop, due, every = (round(value) for value in said.tolist())
        self._looked, self._updates, self._every = time.monotonic(), 0, every
        return stop > 0, due > 0

    def saved(self) -> None:
        """A checkpoint was written."""
        self._saved = time.monotonic()

    def _due(self) -> bool:
        return time.monotonic() - self._saved > self._save_seconds
