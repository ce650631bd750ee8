"""What a predictor of latency sees of an architecture: groups of operations, each with a physical sense.

A group is what a runtime executes as one: a convolution with its activation and the skip added to it, a whole
squeeze-and-excite, the classifier. Its features are those of a roofline: multiply-adds (compute), bytes read
and written (memory), bytes of weights, and the number of operations (overhead). Channels are counted in the
blocks of 16 that ONNX Runtime's and XNNPACK's kernels work in, so that 24 channels cost what 32 do. Because
latencies are sums over groups, they carry over to resolutions and widths that were not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from candidates import Architecture
from candidates.operations import Operation, operations

BLOCK = 16
CACHE = 512 * 1024  # bytes that a core keeps close; traffic beyond it is a feature of its own
MEGA = 1e-6  # features are in millions, so that coefficients are of one size
_PLAIN = ("squeeze", "pool")  # leave plain layout behind, which ONNX Runtime changes back for what follows


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that run as one. Groups with the same `signature` take the same time on one device.

    `kind` is what a runtime treats alike, `operations` are the indices of its operations `members` (see
    candidates.operations), `before` is the kind of the group before where that matters.
    """

    kind: str
    signature: str
    operations: tuple[int, ...]
    members: tuple[Operation, ...] = ()
    before: str = ""
    value: float | None = None

    @property
    def features(self) -> Mapping[str, float]:
        """Values by name; computed when asked for, since a table's groups need none."""
        return {self.kind: self.value} if self.value is not None else _features(self)


def fine(arch: Architecture) -> list[Group]:
    """Groups by kind of operation, for fits to dozens of measurements."""
    ops = operations(arch.layers, arch.resolution)
    found: list[Group] = []
    before = ""
    for indices in _grouped(ops):
        first = ops[indices[0]]
        kind = (
            _kind(first) if len(indices) == 1 or first.kind == "conv" else _JOINED[first.kind, len(indices)]
        )
        members = tuple(ops[i] for i in indices)
        group = _group(kind, members, indices, before if before in _PLAIN else "")
        found.append(group)
        before = kind
    return found


def _grouped(ops: Sequence[Operation]) -> list[tuple[int, ...]]:
    """Indices of operations that run as one, in order."""
    found: list[tuple[int, ...]] = []
    index = 0
    while index < len(ops):
        kind = ops[index].kind
        length = 1
        if kind == "mean":  # a squeeze-and-excite's mean, two gates and product; or the classifier's two
            length = 2 if ops[index + 1].kind == "linear" else 4
        if kind == "add" and found:
            found[-1] = (*found[-1], index)
        else:
            found.append(tuple(range(index, index + length)))
        index += length
    return found


_JOINED = {("mean", 4): "squeeze", ("mean", 5): "squeeze", ("mean", 2): "classifier", ("pool", 2): "pool"}


def _group(kind: str, members: tuple[Operation, ...], indices: tuple[int, ...], before: str) -> Group:
    first, last = members[0], members[-1]
    signature = (
        f"{kind} {first.in_channels}>{last.out_channels} {first.in_size[0]}x{first.in_size[1]}"
        f" s{first.stride[0]}{first.stride[1]}"
    )
    if kind == "squeeze":
        signature += f" /{members[1].out_channels}"
    if first.activation not in _FUSED:
        signature += f" {first.activation}"
    if last.kind == "add":
        signature += " +add"
    if before:
        signature += f" after {before}"
    return Group(kind, signature, indices, members, before)


def _features(group: Group) -> dict[str, float]:
    found: dict[str, float] = {}

    def count(name: str, value: float) -> None:
        found[f"{group.kind}.{name}"] = found.get(f"{group.kind}.{name}", 0.0) + value

    for position, op in enumerate(group.members):
        prefix = f"{op.kind}." if position else ""
        for name, value in _COSTS.get(op.kind, _elementwise)(op):
            count(prefix + name, value)
        if op.activation not in _FUSED:
            count(f"{op.activation}.written", _bytes(op.out_channels, op.out_size) * MEGA)
    first = group.members[0]
    if group.before:
        count(f"after-{group.before}", _bytes(first.in_channels, first.in_size) * MEGA)
    return found


_FUSED = ("none", "relu", "relu6", "sigmoid")  # sigmoid: a gate's own, always there


def coarse(arch: Architecture) -> list[Group]:
    """Four groups with one feature each, for fits to a published table's few rows: unpadded channels."""
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
    return [Group(name, "", (), value=value) for name, value in found.items()]


SETS: Mapping[str, Callable[[Architecture], list[Group]]] = {"fine": fine, "coarse": coarse}


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
