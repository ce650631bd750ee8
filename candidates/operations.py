"""Layers as the graph of operations that a runtime executes.

One walk over the layers serves everything that needs to know operations, their shapes and where their
weights are: costs, the ONNX and TFLite writers, and predictors of latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from candidates.layers import Bottleneck, Layer

IMAGE = -1  # the index that stands for the network's input


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on tensors of height × width × channels.

    `kind` is `conv` (grouped: `groups` equals `in_channels` for a depthwise one), `pool` (average, ceiling
    sizes), `mean` (global average), `linear`, `add`, `multiply` (by one factor per channel), `max_pool`
    (floor sizes), `concat` (of channels), `pad_channels` (with zeros, after those there are) or `norm` (batch
    normalisation that folds into no convolution). `inputs` are indices of the operations that make its inputs. `name` is the module in the network that holds the
    weights, empty where there are none. `normalised` says that batch normalisation follows (the convolution
    then has no bias of its own), `activation` what comes last (`prelu` has a slope for each channel). A
    convolution that is not `padded` sees no borders. `layer` is the index of the layer it is of.
    """

    kind: str
    inputs: tuple[int, ...]
    layer: int
    in_channels: int
    out_channels: int
    in_size: tuple[int, int]
    out_size: tuple[int, int]
    name: str = ""
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    normalised: bool = False
    activation: str = "none"
    dilation: int = 1
    padded: bool = True


class _Graph:
    """Collects operations; each method adds one and returns its index."""

    def __init__(self, resolution: int) -> None:
        self.operations: list[Operation] = []
        self.size = (resolution, resolution)
        self.layer = 0

    def size_of(self, source: int) -> tuple[int, int]:
        return self.size if source == IMAGE else self.operations[source].out_size

    def add(self, operation: Operation) -> int:
        self.operations.append(operation)
        return len(self.operations) - 1

    def conv(
        self,
        source: int,
        name: str,
        channels: tuple[int, int],
        *,
        kernel: int | tuple[int, int] = 1,
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
        normalised: bool = True,
        activation: str = "none",
        dilation: int = 1,
        padded: bool = True,
    ) -> int:
        size = self.size_of(source)
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        out = (
            (-(-size[0] // stride[0]), -(-size[1] // stride[1])) if padded else _inside(size, kernel, stride)
        )
        return self.add(
            Operation(
                "conv", (source,), self.layer, *channels, size, out, name,
                kernel, stride, groups, normalised, activation, dilation, padded,
            )
        )  # fmt: skip

    def simple(
        self,
        kind: str,
        inputs: tuple[int, ...],
        channels: int,
        out: tuple[int, int],
        name: str = "",
        activation: str = "none",
    ) -> int:
        size = self.size_of(inputs[0])
        return self.add(
            Operation(kind, inputs, self.layer, channels, channels, size, out, name, activation=activation)
        )

    def max_pool(self, source: int, channels: int, kernel: int, stride: tuple[int, int]) -> int:
        size, window = self.size_of(source), (kernel, kernel)
        out = _inside(size, window, stride)
        return self.add(
            Operation("max_pool", (source,), self.layer, channels, channels, size, out, "", window, stride)
        )

    def pool(self, source: int, channels: int, stride: tuple[int, int]) -> int:
        size = self.size_of(source)
        out = (-(-size[0] // stride[0]), -(-size[1] // stride[1]))
        return self.add(
            Operation("pool", (source,), self.layer, channels, channels, size, out, "", stride, stride)
        )


def _inside(size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int]:
    """How often a window fits without borders; at least once, since costs of weights ask for any size."""
    rows, columns = (max(0, n - k) // s + 1 for n, k, s in zip(size, kernel, stride, strict=True))
    return rows, columns


def operations(layers: Sequence[Layer], resolution: int) -> tuple[Operation, ...]:
    """The operations of `layers` in order of execution, for an input of `resolution` × `resolution`."""
    graph = _Graph(resolution)
    last = IMAGE
    for index, layer in enumerate(layers):
        graph.layer = index
        last = _BUILDERS[layer.operation](graph, last, layer, f"layers.{index}")
    return tuple(graph.operations)


def _conv(graph: _Graph, source: int, layer: Layer, name: str) -> int:
    out = graph.conv(
        source,
        f"{name}.conv",
        (layer.in_channels, layer.out_channels),
        kernel=layer.kernel,
        stride=layer.stride,
        activation=layer.activation,
    )
    return _skip(graph, source, out, layer, name)


def _mbconv(graph: _Graph, source: int, layer: Layer, name: str) -> int:
    inner, last = layer.expanded, source
    if inner != layer.in_channels:
        last = graph.conv(last, f"{name}.expand", (layer.in_channels, inner), activation=layer.activation)
    last = graph.conv(
        last,
        f"{name}.depthwise",
        (inner, inner),
        kernel=layer.kernel,
        stride=layer.stride,
        groups=inner,
        activation=layer.activation,
    )
    if layer.squeeze:
        mean = graph.simple("mean", (last,), inner, (1, 1))
        small = graph.conv(
            mean, f"{name}.squeeze.reduce", (inner, layer.squeeze), normalised=False, activation="relu"
        )
        gate = graph.conv(
            small, f"{name}.squeeze.expand", (layer.squeeze, inner), normalised=False, activation="sigmoid"
        )
        last = graph.simple("multiply", (last, gate), inner, graph.size_of(last))
    last = graph.conv(last, f"{name}.project", (inner, layer.out_channels))
    return _skip(graph, source, last, layer, name)


def _skip(graph: _Graph, source: int, last: int, layer: Layer, name: str) -> int:
    if layer.skip == "none":
        return last
    other = source
    if layer.skip == "pool":
        if layer.stride != (1, 1):
            other = graph.pool(other, layer.in_channels, layer.stride)
        if layer.in_channels != layer.out_channels:
            other = graph.conv(other, f"{name}.shortcut.project", (layer.in_channels, layer.out_channels))
    return graph.simple("add", (last, other), layer.out_channels, graph.size_of(last))


def _classifier(graph: _Graph, source: int, layer: Layer, name: str) -> int:
    mean = graph.simple("mean", (source,), layer.in_channels, (1, 1))
    return graph.add(
        Operation(
            "linear",
            (mean,),
            graph.layer,
            layer.in_channels,
            layer.out_channels,
            (1, 1),
            (1, 1),
            f"{name}.linear",
        )
    )


def _residual(graph: _Graph, source: int, layer: Layer, name: str) -> int:
    out = layer.out_channels
    first = graph.conv(
        source,
        f"{name}.first",
        (layer.in_channels, out),
        kernel=layer.kernel,
        stride=layer.stride,
        activation=layer.activation,
    )
    last = graph.conv(first, f"{name}.second", (out, out), kernel=layer.kernel)
    if layer.skip != "identity":
        source = graph.conv(source, f"{name}.shortcut", (layer.in_channels, out), stride=layer.stride)
    return graph.simple("add", (last, source), out, graph.size_of(last), name, layer.activation)


def _max_pool(graph: _Graph, source: int, layer: Layer, name: str) -> int:
    return graph.max_pool(source, layer.in_channels, layer.kernel, layer.stride)


def _dense(graph: _Graph, source: int, layer: Layer, name: str) -> int:
    return graph.conv(
        source,
        f"{name}.conv",
        (layer.in_channels, layer.out_channels),
        kernel=layer.kernel,
        normalised=False,
        activation=layer.activation,
        padded=False,
    )


def _enet_initial(graph: _Graph, source: int, layer: Layer, name: str) -> int:
    channels, out = layer.in_channels, layer.out_channels
    conv = graph.conv(
        source,
        f"{name}.conv",
        (channels, out - channels),
        kernel=layer.kernel,
        stride=layer.stride,
        normalised=False,
    )
    pooled = graph.max_pool(source, channels, 2, (2, 2))
    size = graph.size_of(conv)
    both = graph.simple("concat", (conv, pooled), out, size)
    return graph.add(
        Operation(
            "norm", (both,), graph.layer, out, out, size, size, name,
            groups=out, normalised=True, activation=layer.activation,
        )
    )  # fmt: skip


def _enet_bottleneck(graph: _Graph, source: int, layer: Layer, name: str) -> int:
    assert isinstance(layer, Bottleneck)
    inner, out, kernel, activation = layer.expanded, layer.out_channels, layer.kernel, layer.activation
    last = graph.conv(
        source,
        f"{name}.reduce",
        (layer.in_channels, inner),
        kernel=layer.stride,  # 2×2 where it halves the size, else 1×1
        stride=layer.stride,
        activation=activation,
        padded=False,
    )
    shape = (kernel, kernel)
    if layer.asymmetric:
        last = graph.conv(last, f"{name}.spread", (inner, inner), kernel=(kernel, 1), normalised=False)
        shape = (1, kernel)
    last = graph.conv(
        last, f"{name}.conv", (inner, inner), kernel=shape, activation=activation, dilation=layer.dilation
    )
    last = graph.conv(last, f"{name}.expand", (inner, out))
    if layer.stride != (1, 1):
        source = graph.max_pool(source, layer.in_channels, 2, layer.stride)
    if out != layer.in_channels:
        size = graph.size_of(source)
        source = graph.add(
            Operation("pad_channels", (source,), graph.layer, layer.in_channels, out, size, size)
        )
    return graph.simple("add", (last, source), out, graph.size_of(last), name, activation)


_BUILDERS = {
    "conv": _conv,
    "mbconv": _mbconv,
    "classifier": _classifier,
    "residual": _residual,
    "max_pool": _max_pool,
    "dense": _dense,
    "enet_initial": _enet_initial,
    "enet_bottleneck": _enet_bottleneck,
}
