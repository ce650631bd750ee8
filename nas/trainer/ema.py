"""An exponential moving average of a network's weights, which is what is evaluated and shipped."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """Follows `network` by `average ← d·average + (1 − d)·weights` after each update.

    The decay d warms up as min(decay, (1 + n) / (10 + n)) over updates n, as TensorFlow's does, so that the
    initial weights are forgotten early. Batch normalisation's statistics are averaged too.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay, self.updates = decay, 0
        # The tensors stay the same ones from here on; to list them anew takes longer than to average them.
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        floats = [(mine, theirs) for mine, theirs in pairs if mine.is_floating_point()]
        self._mine, self._theirs = [mine for mine, _ in floats], [theirs for _, theirs in floats]
        self._counts = [(mine, theirs) for mine, theirs in pairs if not mine.is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's weights after an update."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)
        for mine, theirs in self._counts:
            mine.copy_(theirs)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"weights": self.network.state_dict(), "updates": self.updates}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.network.load_state_dict(state["weights"])
        self.updates = int(state["updates"])
