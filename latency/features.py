"""What a predictor of latency sees of an architecture: sums over its operations, each with a physical sense.

The features are those of a roofline: multiply-adds (compute), bytes read and written (memory), bytes of
weights, and the number of operations (overhead), each for every kind of operation that a runtime treats
differently. Channels are counted in the blocks of 16 that ONNX Runtime's and XNNPACK's kernels work in, so
that 24 channels cost what 32 do. Because they are sums over operations, they carry over to resolutions and
widths that were not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from candidates import Architecture
from candidates.operations import Operation, operations

BLOCK = 16
CACHE = 512 * 1024  # bytes that a core keeps close; traffic beyond it is a feature of its own
MEGA = 1e-6  # features are in millions, so that coefficients are of one size

Features = Mapping[str, float]


def fine(arch: Architecture) -> Features:
    """Features by kind of operation, for fits to dozens of measurements."""
    found: dict[str, float] = {}
    for op in operations(arch.layers, arch.resolution):
        kind = _kind(op)
        for name, value in _COSTS.get(op.kind, _elementwise)(op):
            key = f"{kind}.{name}"
            found[key] = found.get(key, 0.0) + value
        if op.activation not in ("none", "relu", "relu6"):  # those two are fused everywhere
            key = f"activation-{op.activation}.out"
            found[key] = found.get(key, 0.0) + _bytes(op.out_channels, op.out_size) * MEGA
    return found


def coarse(arch: Architecture) -> Features:
    """Four features, for fits to a published table's few rows: unpadded, as every runtime has them."""
    found = {"dense.multiply_adds": 0.0, "depthwise.multiply_adds": 0.0, "activations": 0.0, "weights": 0.0}
    for op in operations(arch.layers, arch.resolution):
        area = op.out_size[0] * op.out_size[1]
        weights = op.kernel[0] * op.kernel[1] * (op.in_channels // op.groups) * op.out_channels
        if op.kind in ("conv", "linear"):
            kind = "depthwise" if op.groups > 1 else "dense"
            found[f"{kind}.multiply_adds"] += weights * area * MEGA
            found["weights"] += 4.0 * weights * MEGA
            inputs = op.in_channels * op.in_size[0] * op.in_size[1]
            found["activations"] += 4.0 * (inputs + op.out_channels * area) * MEGA
    return found


SETS: Mapping[str, Callable[[Architecture], Features]] = {"fine": fine, "coarse": coarse}


def _kind(op: Operation) -> str:
    if op.kind != "conv":
        return op.kind
    if op.groups > 1:
        return f"depthwise-k{op.kernel[0]}-s{max(op.stride)}"
    if op.out_size == (1, 1):
        return "gate"  # squeeze-and-excite's: a matrix times a vector
    if op.kernel == (1, 1):
        return "pointwise"
    return "stem" if op.in_channels <= 4 else f"dense-k{op.kernel[0]}-s{max(op.stride)}"


def _padded(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


def _bytes(channels: int, size: tuple[int, int]) -> float:
    return 4.0 * _padded(channels) * size[0] * size[1]


def _conv(op: Operation) -> list[tuple[str, float]]:
    inner = 1 if op.groups > 1 else (op.in_channels if op.in_channels <= 4 else _padded(op.in_channels))
    weights = float(op.kernel[0] * op.kernel[1] * inner * _padded(op.out_channels))
    read, written = _bytes(op.in_channels, op.in_size), _bytes(op.out_channels, op.out_size)
    costs = [
        ("count", 1.0),
        ("multiply_adds", weights * op.out_size[0] * op.out_size[1] * MEGA),
        ("read", read * MEGA),
        ("written", written * MEGA),
        ("weights", 4.0 * weights * MEGA),
    ]
    if op.kernel == (1, 1) or op.groups > 1:
        costs.append(("spilled", max(0.0, read + written - CACHE) * MEGA))
    return costs


def _linear(op: Operation) -> list[tuple[str, float]]:
    return [("count", 1.0), ("weights", 4.0 * op.in_channels * op.out_channels * MEGA)]


def _elementwise(op: Operation) -> list[tuple[str, float]]:
    return [("count", 1.0), ("read", _bytes(op.in_channels, op.in_size) * MEGA)]


_COSTS: Mapping[str, Callable[[Operation], list[tuple[str, float]]]] = {"conv": _conv, "linear": _linear}
