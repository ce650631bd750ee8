"""The proxy: a short training at a small size that ranks candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from candidates import Architecture, build
from nas import cpu
from nas.data import DataSet
from nas.data.split import stratified
from nas.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from nas.training import DeviceData, Outcome

MIN_MAP = 2  # a last feature map of 2×2 costs a quarter of 4×4 and keeps every stage's stride but one


@dataclass(frozen=True)
class Proxy:
    """A data set on a device with the recipe to train on it."""

    data: DataSet
    placed: DeviceData
    recipe: Recipe

    @classmethod
    def prepare(cls, data: DataSet, recipe: Recipe, device: str = "auto") -> Proxy:
        """Put the data set on the training device."""
        from nas.training import DeviceData, pick_device

        return cls(data, DeviceData.put(data, pick_device(device)), recipe)

    def architecture(self, arch: Architecture) -> Architecture:
        """`arch` as the proxy trains it: at the data set's size, with strides removed where it is small."""
        return arch.for_input(self.data.size, self.data.channels, self.data.classes, min_map=MIN_MAP)

    def train(
        self, arch: Architecture, seed: int, watch: Callable[[Sequence[float]], bool] | None = None
    ) -> Outcome:
        """Train `arch` from the weights that `seed` gives and score it on the validation split.

        `watch` is told after each epoch the accuracies so far and may end the training by answering True.
        """
        from nas.training import train

        network = build(self.architecture(arch), seed=seed, dropout=self.recipe.dropout)
        outcome = train(network, self.placed, self.recipe, seed, watch)
        del network
        cpu.release()
        return outcome

    def first_images(self, count: int) -> tuple[Tensor, Tensor]:
        """Some training images, spread over the classes, normalised on the CPU, and their labels."""
        chosen = stratified(self.data.train.labels, count, np.random.default_rng(0))
        images, labels = self.placed.train
        return self.placed.normalised(images[chosen]).cpu(), labels[chosen].cpu()

    def describe(self) -> dict[str, Any]:
        """What an accuracy of this proxy has to be reported with."""
        return {
            **self.data.describe(),
            "split": "validation (held out of the training images)",
            "epochs": self.recipe.epochs,
            "trained_on": str(self.placed.train[0].device),
        }
