"""Stochastic depth (arXiv 1603.09382): a residual branch is left out of some images while training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LAST = ("project", "second", "conv")  # of an inverted bottleneck, a residual block, a plain convolution


def attach(network: nn.Module, rate: float) -> int:
    """Drop residual branches, the last with probability `rate` and earlier ones less, in proportion.

    A branch is what a layer adds to its `shortcut`; its last convolution is called as in `_LAST`. What is kept
    is scaled by 1 / (1 − probability). Returns how many branches there are. The draws are torch's global ones.
    """
    layers = [m for m in network.modules() if isinstance(getattr(m, "shortcut", None), nn.Module)]
    for number, layer in enumerate(layers, start=1):
        probability = rate * number / len(layers)
        name = next(name for name in _LAST if isinstance(getattr(layer, name, None), nn.Module))
        if probability > 0:
            layer.get_submodule(name).register_forward_hook(_Drop(probability))
    return len(layers)


class _Drop:
    """A forward hook that zeroes whole images of a branch's output while the branch is in training mode."""

    def __init__(self, probability: float) -> None:
        self._kept = 1 - probability

    def __call__(self, branch: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not branch.training:
            return output
        mask = torch.empty(len(output), 1, 1, 1, device=output.device).bernoulli_(self._kept)
        return output * (mask / self._kept).to(output.dtype)
