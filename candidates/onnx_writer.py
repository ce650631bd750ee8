"""An ONNX graph written directly from an architecture, in milliseconds, for measuring.

PyTorch's exporter takes seconds; a candidate's latency does not depend on the values of its weights, so it
need not wait for one. Batch normalisation is folded into the convolutions, as every runtime does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper
from onnx.onnx_pb import ModelProto, NodeProto

from candidates.operations import IMAGE, Operation, operations
from candidates.weights import folded, slopes, synthetic

if TYPE_CHECKING:
    from candidates.layered import Layered

OPSET = 19  # the first whose average pooling has well-defined ceiling sizes
IR_VERSION = 9
INPUT, OUTPUT = "input", "logits"


def onnx_model(
    arch: Layered, weights: Mapping[str, np.ndarray] | None = None, batch: int | None = 1
) -> ModelProto:
    """The ONNX model of `arch`: input N×C×H×W float32, output N×classes logits.

    `weights` maps the network's state-dict names to arrays; without them the weights are synthetic. `batch`
    is N, or None for any.
    """
    writer = _Writer(arch, weights)
    ops = operations(arch.layers, arch.resolution)
    for index, op in enumerate(ops):
        writer.write(index, op, last=index == len(ops) - 1)
    n = "N" if batch is None else batch
    image = [n, arch.channels_in, arch.resolution, arch.resolution]
    graph = helper.make_graph(
        writer.nodes,
        arch.id,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [n, arch.classes])],
        writer.initializers,
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mobile-nas",
    )


class _Writer:
    def __init__(self, arch: Layered, weights: Mapping[str, np.ndarray] | None) -> None:
        self.padding, self.epsilon, self.weights = arch.padding, arch.bn_epsilon, weights
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def write(self, index: int, op: Operation, last: bool) -> None:
        inputs = [INPUT if source == IMAGE else f"t{source}" for source in op.inputs]
        output = OUTPUT if last else f"t{index}"
        activation = _ACTIVATIONS[op.activation]
        before = f"{output}.linear" if activation else output
        _WRITERS[op.kind](self, op, inputs, before)
        if activation:
            activation(self, op, before, output)

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def constant(self, name: str, values: np.ndarray) -> str:
        array = np.ascontiguousarray(values)
        tensor = TensorProto(name=name, dims=array.shape, raw_data=array.tobytes())
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.initializers.append(tensor)
        return name

    def parameters(self, op: Operation, inputs: list[str]) -> list[str]:
        kernel, bias = synthetic(op) if self.weights is None else folded(op, self.weights, self.epsilon)
        return [
            *inputs,
            self.constant(f"{op.name}.weight", kernel),
            self.constant(f"{op.name}.bias", bias),
        ]

    def pads(self, op: Operation) -> list[int]:
        """ONNX's order: the beginnings of height and width, then the ends."""
        begins, ends = zip(*padding(op, self.padding), strict=True)
        return [*begins, *ends]


def padding(op: Operation, scheme: str) -> list[tuple[int, int]]:
    """Rows before and after, columns before and after; `scheme` is the architecture's padding."""
    pads = []
    for size, out, kernel, stride in zip(op.in_size, op.out_size, op.kernel, op.stride, strict=True):
        if not op.padded:
            pads.append((0, 0))
        elif scheme == "same":
            total = max((out - 1) * stride + op.dilation * (kernel - 1) + 1 - size, 0)
            pads.append((total // 2, total - total // 2))
        else:
            pads.append((op.dilation * (kernel // 2),) * 2)
    return pads


def _conv(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    writer.node(
        "Conv",
        writer.parameters(op, inputs),
        output,
        kernel_shape=op.kernel,
        strides=op.stride,
        dilations=(op.dilation, op.dilation),
        group=op.groups,
        pads=writer.pads(op),
    )


def _pool(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    writer.node(
        "AveragePool",
        inputs,
        output,
        kernel_shape=op.kernel,
        strides=op.stride,
        ceil_mode=1,
        count_include_pad=0,
    )


def _mean(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    writer.node("GlobalAveragePool", inputs, output)


def _linear(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    flat = f"{output}.flat"
    writer.node("Flatten", inputs, flat)
    writer.node("Gemm", writer.parameters(op, [flat]), output, transB=1)


def _max_pool(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    writer.node("MaxPool", inputs, output, kernel_shape=op.kernel, strides=op.stride)


def _concat(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    writer.node("Concat", inputs, output, axis=1)


def _pad_channels(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    pads = np.array([0, 0, 0, 0, 0, op.out_channels - op.in_channels, 0, 0], np.int64)
    writer.node("Pad", [*inputs, writer.constant(f"{output}.pads", pads)], output)


def _add(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    writer.node("Add", inputs, output)


def _multiply(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    writer.node("Mul", inputs, output)


_WRITERS: dict[str, Callable[[_Writer, Operation, list[str], str], None]] = {
    "conv": _conv,
    "pool": _pool,
    "mean": _mean,
    "linear": _linear,
    "add": _add,
    "multiply": _multiply,
    "max_pool": _max_pool,
    "concat": _concat,
    "pad_channels": _pad_channels,
    "norm": _conv,
}


def _relu(writer: _Writer, op: Operation, source: str, output: str) -> None:
    writer.node("Relu", [source], output)


def _relu6(writer: _Writer, op: Operation, source: str, output: str) -> None:
    low = writer.constant(f"{output}.0", np.array(0, np.float32))
    high = writer.constant(f"{output}.6", np.array(6, np.float32))
    writer.node("Clip", [source, low, high], output)


def _sigmoid(writer: _Writer, op: Operation, source: str, output: str) -> None:
    writer.node("Sigmoid", [source], output)


def _hswish(writer: _Writer, op: Operation, source: str, output: str) -> None:
    writer.node("HardSwish", [source], output)


def _prelu(writer: _Writer, op: Operation, source: str, output: str) -> None:
    slope = writer.constant(f"{output}.slope", slopes(op, writer.weights).reshape(-1, 1, 1))
    writer.node("PRelu", [source, slope], output)


def _swish(writer: _Writer, op: Operation, source: str, output: str) -> None:
    writer.node("Sigmoid", [source], f"{output}.gate")
    writer.node("Mul", [source, f"{output}.gate"], output)


_ACTIVATIONS: dict[str, Callable[[_Writer, Operation, str, str], None] | None] = {
    "none": None,
    "relu": _relu,
    "relu6": _relu6,
    "sigmoid": _sigmoid,
    "hswish": _hswish,
    "swish": _swish,
    "prelu": _prelu,
}
