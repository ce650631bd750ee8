"""A .tflite file written directly from an architecture, through the schema that ai-edge-litert ships.

Batch normalisation is folded into the convolutions. TFLite knows no symmetric padding at a stride (its SAME
puts the odd row at the end), so that is written as PAD followed by a VALID convolution; `padding="same"` and
stride 1 are SAME.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from candidates.operations import IMAGE, Operation, operations
from candidates.weights import folded, slopes, synthetic

if TYPE_CHECKING:
    from candidates.layered import Layered

INPUT, OUTPUT = "input", "logits"
SIGNATURE = "serving_default"  # quantizers look for it
ALIGNMENT = 16  # of every constant, as the schema asks for and the kernels rely on
SCHEMA_VERSION = 3


def tflite_model(
    arch: Layered, weights: Mapping[str, np.ndarray] | None = None, quantisable: bool = False
) -> bytes:
    """The .tflite file of `arch`: input 1×H×W×C float32 (channels last), output 1×classes logits.

    `weights` maps the network's state-dict names to arrays, as for `onnx_model`; without them the weights
    are synthetic. With `quantisable`, what quantisers do not know (PReLU) is made of operations that they do.
    """
    writer = _Writer(arch, weights, quantisable)
    ops = operations(arch.layers, arch.resolution)
    size = arch.resolution
    writer.tensor_of[IMAGE] = writer.tensor(INPUT, (1, size, size, arch.channels_in))
    flat = {source for op in ops if op.kind == "linear" for source in op.inputs}
    for index, op in enumerate(ops):
        name = OUTPUT if index == len(ops) - 1 else f"t{index}"
        shape = (1, op.out_channels) if op.kind == "linear" or index in flat else _shape(op)
        inputs = [writer.tensor_of[source] for source in op.inputs]
        writer.tensor_of[index] = _WRITERS[op.kind](writer, op, inputs, name, shape)
    return writer.finish(writer.tensor_of[IMAGE], writer.tensor_of[len(ops) - 1])


def _shape(op: Operation) -> tuple[int, ...]:
    return (1, *op.out_size, op.out_channels)


class _Buffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose data is aligned in the file; the generated code aligns to single bytes."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        data = self.data.tobytes()
        builder.StartVector(1, len(data), ALIGNMENT)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


class _Writer:
    """Collects tensors, constants and operators of the one subgraph."""

    def __init__(self, arch: Layered, weights: Mapping[str, np.ndarray] | None, quantisable: bool) -> None:
        self.quantisable = quantisable
        self.padding, self.epsilon, self.weights, self.name = arch.padding, arch.bn_epsilon, weights, arch.id
        self.buffers: list[Any] = [schema.BufferT()]  # by convention the first is the empty one
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: dict[int, int] = {}
        self.tensor_of: dict[int, int] = {}
        self.bytes = 0

    def tensor(self, name: str, shape: Sequence[int], values: np.ndarray | None = None) -> int:
        found = schema.TensorT()
        found.name, found.shape, found.hasRank = name.encode(), np.array(shape, np.int32), True
        integers = values is not None and values.dtype == np.int32
        found.type = schema.TensorType.INT32 if integers else schema.TensorType.FLOAT32
        found.buffer = 0
        if values is not None:
            buffer = _Buffer()
            buffer.data = np.ascontiguousarray(values)
            self.bytes += buffer.data.nbytes
            found.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(found)
        return len(self.tensors) - 1

    def constant(self, name: str, values: np.ndarray) -> int:
        return self.tensor(name, values.shape, values)

    def operator(
        self, kind: str, inputs: list[int], output: int, options: tuple[str, dict[str, Any]] | None = None
    ) -> int:
        """Add an operator; `options` are the schema's options type and its fields. Returns `output`."""
        code = getattr(schema.BuiltinOperator, kind)
        found = schema.OperatorT()
        found.opcodeIndex = self.codes.setdefault(code, len(self.codes))
        found.inputs, found.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            name, values = options
            found.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            found.builtinOptions = getattr(schema, f"{name}T")()
            for key, value in values.items():
                setattr(found.builtinOptions, key, value)
        self.operators.append(found)
        return output

    def parameters(self, op: Operation) -> tuple[np.ndarray, np.ndarray]:
        return synthetic(op) if self.weights is None else folded(op, self.weights, self.epsilon)

    def finish(self, source: int, sink: int) -> bytes:
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = b"main", self.tensors, self.operators
        graph.inputs, graph.outputs = np.array([source], np.int32), np.array([sink], np.int32)
        model = schema.ModelT()
        model.version, model.description = SCHEMA_VERSION, f"mobile-nas {self.name}".encode()
        model.subgraphs, model.buffers = [graph], self.buffers
        model.operatorCodes = [_code(code) for code in self.codes]
        model.signatureDefs = [_signature(source, sink)]
        builder = flatbuffers.Builder(self.bytes + (1 << 18))
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def _code(builtin: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
    return code


def _signature(source: int, sink: int) -> Any:
    def mapped(name: str, index: int) -> Any:
        found = schema.TensorMapT()
        found.name, found.tensorIndex = name.encode(), index
        return found

    found = schema.SignatureDefT()
    found.signatureKey, found.subgraphIndex = SIGNATURE.encode(), 0
    found.inputs, found.outputs = [mapped(INPUT, source)], [mapped(OUTPUT, sink)]
    return found


Shape = tuple[int, ...]
_FUSED = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


def _conv(writer: _Writer, op: Operation, inputs: list[int], name: str, shape: Shape) -> int:
    kernel, bias = writer.parameters(op)
    source, padding = inputs[0], schema.Padding.SAME
    if not op.padded:
        padding = schema.Padding.VALID
    elif op.stride != (1, 1) and writer.padding == "symmetric" and op.kernel != (1, 1):
        source, padding = _pad(writer, op, source, name), schema.Padding.VALID
    options = {
        "padding": padding,
        "strideH": op.stride[0],
        "strideW": op.stride[1],
        "dilationHFactor": op.dilation,
        "dilationWFactor": op.dilation,
    }
    if op.groups > 1:  # depthwise: out×1×h×w becomes 1×h×w×out
        kind, table = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"
        options["depthMultiplier"] = 1
        kernel = kernel.transpose(1, 2, 3, 0)
    else:  # out×in×h×w becomes out×h×w×in
        kind, table = "CONV_2D", "Conv2DOptions"
        kernel = kernel.transpose(0, 2, 3, 1)
    operands = [
        source,
        writer.constant(f"{op.name}.weight", kernel),
        writer.constant(f"{op.name}.bias", bias),
    ]
    return _activated(writer, op, kind, operands, name, shape, (table, options))


def _activated(
    writer: _Writer,
    op: Operation,
    kind: str,
    operands: list[int],
    name: str,
    shape: Shape,
    options: tuple[str, dict[str, Any]],
) -> int:
    """An operator with `op`'s activation, fused into it where TFLite can."""
    table, values = options
    separate = _SEPARATE.get(op.activation)
    output = writer.tensor(f"{name}.linear" if separate else name, shape)
    values["fusedActivationFunction"] = _FUSED.get(op.activation, 0)
    writer.operator(kind, operands, output, (table, values))
    return separate(writer, op, output, name, shape) if separate else output


def _pad(writer: _Writer, op: Operation, source: int, name: str) -> int:
    rows, columns = (k // 2 for k in op.kernel)
    pads = np.array([[0, 0], [rows, rows], [columns, columns], [0, 0]], np.int32)
    shape = (1, op.in_size[0] + 2 * rows, op.in_size[1] + 2 * columns, op.in_channels)
    output = writer.tensor(f"{name}.padded", shape)
    return writer.operator("PAD", [source, writer.constant(f"{name}.pads", pads)], output, ("PadOptions", {}))


def _pool(writer: _Writer, op: Operation, inputs: list[int], name: str, shape: Shape) -> int:
    options = {
        "padding": schema.Padding.SAME,  # ceiling sizes; what lies outside is not counted in the average
        "strideH": op.stride[0],
        "strideW": op.stride[1],
        "filterHeight": op.kernel[0],
        "filterWidth": op.kernel[1],
    }
    return writer.operator("AVERAGE_POOL_2D", inputs, writer.tensor(name, shape), ("Pool2DOptions", options))


def _max_pool(writer: _Writer, op: Operation, inputs: list[int], name: str, shape: Shape) -> int:
    options = {
        "padding": schema.Padding.VALID,
        "strideH": op.stride[0],
        "strideW": op.stride[1],
        "filterHeight": op.kernel[0],
        "filterWidth": op.kernel[1],
    }
    return writer.operator("MAX_POOL_2D", inputs, writer.tensor(name, shape), ("Pool2DOptions", options))


def _concat(writer: _Writer, op: Operation, inputs: list[int], name: str, shape: Shape) -> int:
    options = ("ConcatenationOptions", {"axis": 3})
    return writer.operator("CONCATENATION", inputs, writer.tensor(name, shape), options)


def _pad_channels(writer: _Writer, op: Operation, inputs: list[int], name: str, shape: Shape) -> int:
    pads = np.array([[0, 0], [0, 0], [0, 0], [0, op.out_channels - op.in_channels]], np.int32)
    operands = [*inputs, writer.constant(f"{name}.pads", pads)]
    return writer.operator("PAD", operands, writer.tensor(name, shape), ("PadOptions", {}))


def _mean(writer: _Writer, op: Operation, inputs: list[int], name: str, shape: Shape) -> int:
    axes = writer.constant(f"{name}.axes", np.array([1, 2], np.int32))
    options = {"keepDims": len(shape) == 4}
    return writer.operator("MEAN", [*inputs, axes], writer.tensor(name, shape), ("ReducerOptions", options))


def _linear(writer: _Writer, op: Operation, inputs: list[int], name: str, shape: Shape) -> int:
    kernel, bias = writer.parameters(op)
    operands = [
        *inputs,
        writer.constant(f"{op.name}.weight", kernel),
        writer.constant(f"{op.name}.bias", bias),
    ]
    return writer.operator(
        "FULLY_CONNECTED", operands, writer.tensor(name, shape), ("FullyConnectedOptions", {})
    )


def _add(writer: _Writer, op: Operation, inputs: list[int], name: str, shape: Shape) -> int:
    return _activated(writer, op, "ADD", inputs, name, shape, ("AddOptions", {}))


def _multiply(writer: _Writer, op: Operation, inputs: list[int], name: str, shape: Shape) -> int:
    return writer.operator("MUL", inputs, writer.tensor(name, shape), ("MulOptions", {}))


_WRITERS: dict[str, Callable[[_Writer, Operation, list[int], str, Shape], int]] = {
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


def _sigmoid(writer: _Writer, op: Operation, source: int, name: str, shape: Shape) -> int:
    return writer.operator("LOGISTIC", [source], writer.tensor(name, shape))


def _hswish(writer: _Writer, op: Operation, source: int, name: str, shape: Shape) -> int:
    return writer.operator("HARD_SWISH", [source], writer.tensor(name, shape), ("HardSwishOptions", {}))


def _prelu(writer: _Writer, op: Operation, source: int, name: str, shape: Shape) -> int:
    alpha = slopes(op, writer.weights)
    if not writer.quantisable:
        operands = [source, writer.constant(f"{name}.slope", alpha.reshape(1, 1, -1))]
        return writer.operator("PRELU", operands, writer.tensor(name, shape))

    def scaled(values: int, factor: np.ndarray, part: str) -> int:
        operands = [values, writer.constant(f"{name}.{part}.factor", factor.reshape(1, 1, 1, -1))]
        return writer.operator("MUL", operands, writer.tensor(f"{name}.{part}", shape), ("MulOptions", {}))

    # α·x + (1 − α)·max(x, 0)
    positive = writer.operator("RELU", [source], writer.tensor(f"{name}.positive", shape))
    parts = [scaled(source, alpha, "all"), scaled(positive, 1 - alpha, "above")]
    return writer.operator("ADD", parts, writer.tensor(name, shape), ("AddOptions", {}))


def _swish(writer: _Writer, op: Operation, source: int, name: str, shape: Shape) -> int:
    gate = writer.operator("LOGISTIC", [source], writer.tensor(f"{name}.gate", shape))
    return writer.operator("MUL", [source, gate], writer.tensor(name, shape), ("MulOptions", {}))


_SEPARATE: dict[str, Callable[[_Writer, Operation, int, str, Shape], int]] = {
    "sigmoid": _sigmoid,
    "hswish": _hswish,
    "swish": _swish,
    "prelu": _prelu,
}
