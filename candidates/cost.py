"""Costs of a network, exact and without building it.

What is counted: multiply-adds of convolutions (those of squeeze-and-excite too) and of the classifier;
parameters of the same, plus scale and shift of each batch normalisation and the slopes of PReLU. Additions of biases and skips,
activations, pooling and normalisation (folded at inference) cost no multiply-adds here, as in the papers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from candidates.layers import Layer
from candidates.operations import IMAGE, Operation, operations


def _conv_weights(op: Operation) -> int:
    return op.kernel[0] * op.kernel[1] * (op.in_channels // op.groups) * op.out_channels


def _conv_parameters(op: Operation) -> int:
    return _conv_weights(op) + (2 * op.out_channels if op.normalised else op.out_channels)


def _conv_multiply_adds(op: Operation) -> int:
    return _conv_weights(op) * op.out_size[0] * op.out_size[1]


def _linear_parameters(op: Operation) -> int:
    return (op.in_channels + 1) * op.out_channels


def _linear_multiply_adds(op: Operation) -> int:
    return op.in_channels * op.out_channels


def _norm_parameters(op: Operation) -> int:
    return 2 * op.out_channels


_PARAMETERS: dict[str, Callable[[Operation], int]] = {
    "conv": _conv_parameters,
    "linear": _linear_parameters,
    "norm": _norm_parameters,
}
_MULTIPLY_ADDS: dict[str, Callable[[Operation], int]] = {
    "conv": _conv_multiply_adds,
    "linear": _linear_multiply_adds,
}


def _nothing(op: Operation) -> int:
    return 0


def operation_parameters(op: Operation) -> int:
    """Trainable parameters of one operation."""
    slopes = op.out_channels if op.activation == "prelu" else 0
    return _PARAMETERS.get(op.kind, _nothing)(op) + slopes


def operation_multiply_adds(op: Operation) -> int:
    """Multiply-adds of one operation for one image."""
    return _MULTIPLY_ADDS.get(op.kind, _nothing)(op)


def parameters(layers: Sequence[Layer]) -> int:
    """Trainable parameters of a network."""
    return sum(operation_parameters(op) for op in operations(layers, resolution=1))


def multiply_adds(layers: Sequence[Layer], resolution: int) -> int:
    """Multiply-adds of a network for one image of `resolution` × `resolution`."""
    return sum(operation_multiply_adds(op) for op in operations(layers, resolution))


def peak_activation_bytes(layers: Sequence[Layer], resolution: int, bytes_per_value: int = 4) -> int:
    """The largest sum of activations alive at once, in bytes, when each is freed after its last use.

    Counted with every operation's input and output in memory together, activations applied in place.
    """
    ops = operations(layers, resolution)
    sizes = {i: op.out_channels * op.out_size[0] * op.out_size[1] for i, op in enumerate(ops)}
    sizes[IMAGE] = ops[0].in_channels * resolution * resolution
    last_use = {source: i for i, op in enumerate(ops) for source in op.inputs}
    alive, peak = {IMAGE}, 0
    for i, op in enumerate(ops):
        alive.add(i)
        peak = max(peak, sum(sizes[tensor] for tensor in alive))
        alive -= {source for source in op.inputs if last_use[source] == i}
    return peak * bytes_per_value
