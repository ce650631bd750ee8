"""An operation's weights as a runtime wants them: one kernel and one bias, normalisation folded in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from candidates.operations import Operation


def shape(op: Operation) -> tuple[int, ...]:
    """The kernel's shape: out × in/groups × height × width, or out × in for a linear operation.

    A normalisation that folds into no convolution is a depthwise one of 1×1.
    """
    if op.kind == "linear":
        return (op.out_channels, op.in_channels)
    return (op.out_channels, op.in_channels // op.groups, *op.kernel)


def folded(op: Operation, weights: Mapping[str, np.ndarray], epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of `op` from a network's state dict, batch normalisation folded into them."""
    if not op.normalised:
        return weights[f"{op.name}.weight"], weights[f"{op.name}.bias"]
    norm = f"{op.name}.norm"
    variance = weights[f"{norm}.running_var"].astype(np.float64)
    scale = weights[f"{norm}.weight"] / np.sqrt(variance + epsilon)
    kernel = scale.reshape(-1, 1, 1, 1)
    if op.kind != "norm":
        kernel = weights[f"{op.name}.conv.weight"] * kernel
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return kernel.astype(np.float32), bias.astype(np.float32)


def slopes(op: Operation, weights: Mapping[str, np.ndarray] | None) -> np.ndarray:
    """PReLU's slope for each channel; without weights what it starts from."""
    if weights is None:
        return np.full(op.out_channels, 0.25, np.float32)
    return weights[f"{op.name}.activation.weight"]


def synthetic(op: Operation) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias with plausible values, the same every time.

    Noise scaled so that activations keep their size from layer to layer: neither zeros, which a runtime may
    treat specially, nor values that run into denormal numbers, which are slow.
    """
    dims = shape(op)
    count = int(np.prod(dims))
    fan_in = count // op.out_channels
    kernel = np.resize(_noise(), count) if count > _noise().size else _noise()[:count]
    return (kernel * np.float32((2.0 / fan_in) ** 0.5)).reshape(dims), np.full(
        op.out_channels, 0.01, np.float32
    )


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(1 << 18, dtype=np.float32)
