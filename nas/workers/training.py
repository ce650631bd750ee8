"""What a worker is asked to do, in values that reach any process on any machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from candidates import Architecture
from nas.evaluation import Watch

if TYPE_CHECKING:
    from nas.proxy import Proxy
    from nas.training import Outcome

LEAST_BATCH = 4


@dataclass(frozen=True)
class ProxyTraining:
    """Trains by the proxy that these settings describe; a process loads the data once.

    `samples` None is all; `device` is a torch device or `auto`.
    """

    data: str
    resolution: int | None
    samples: int | None
    epochs: int
    device: str = "auto"

    def __call__(self, arch: Architecture, seed: int, watch: Watch | None = None) -> Outcome:
        return within_memory(self.proxy(), arch, seed, watch)

    def proxy(self) -> Proxy:
        """The proxy, with its data on the training device."""
        return _proxy(self)


@cache
def _proxy(training: ProxyTraining) -> Proxy:
    from nas.data import load_data
    from nas.proxy import Proxy
    from nas.recipe import Recipe

    data = load_data(training.data, training.resolution, training.samples)
    return Proxy.prepare(data, Recipe(epochs=training.epochs), training.device)


def within_memory(proxy: Proxy, arch: Architecture, seed: int, watch: Watch | None = None) -> Outcome:
    """Train; where memory does not suffice, again with half the batch (the learning rate scales with it)."""
    while True:
        try:
            return proxy.train(arch, seed, watch)
        except (RuntimeError, MemoryError) as error:
            batch = proxy.recipe.batch // 2
            if not is_out_of_memory(error) or batch < LEAST_BATCH:
                raise
        proxy = replace(proxy, recipe=replace(proxy.recipe, batch=batch))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, on a GPU or a CPU, said that memory does not suffice."""
    import torch

    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "out of memory" in words or "can't allocate memory" in words or "not enough memory" in words
    )
