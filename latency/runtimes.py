"""What runs a model on this machine: ONNX Runtime and LiteRT, each loaded into one callable."""

from __future__ import annotations

import functools
import importlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from candidates import InputError, RunError
from latency.inputs import fixed_to_others

Inference = Callable[[], object]


class Runtime(Protocol):
    """A library that runs models on this machine."""

    name: str
    form: str  # the model format it reads

    def version(self) -> str: ...

    def load(self, content: bytes, threads: int, name: str, batch: int = 1) -> Inference:
        """One inference of `batch` images per call, on random input that is made once.

        Raises InputError for a bad file, or one that does not take as many images.
        """
        ...


class OnnxRuntime:
    """ONNX Runtime's CPU provider, input and output bound once so that a call is inference and no copying."""

    name = "onnxruntime"
    form = "onnx"

    def version(self) -> str:
        return str(_onnxruntime().__version__)

    def load(self, content: bytes, threads: int, name: str, batch: int = 1) -> Inference:
        session = onnx_session(content, threads, name)
        binding = session.io_binding()
        shapes = [onnx_shape(name, tensor, batch) for tensor in session.get_inputs()]
        _check_batch(name, shapes, batch)
        for tensor, shape in zip(session.get_inputs(), shapes, strict=True):
            array = random_input(tensor.name, shape, onnx_dtype(name, tensor.type))
            binding.bind_cpu_input(tensor.name, array)
        for tensor in session.get_outputs():
            binding.bind_output(tensor.name, "cpu")
        run = functools.partial(session.run_with_iobinding, binding)
        try:
            run()
        except Exception as error:
            raise RunError(f"{name} loads and does not run: {_one_line(error)}") from None
        return run


class LiteRt:
    """LiteRT's interpreter (the successor of TensorFlow Lite's) with its default XNNPACK delegate."""

    name = "litert"
    form = "tflite"

    def version(self) -> str:
        module = _litert()
        return str(getattr(module, "__version__", None) or _package_version(module))

    def load(self, content: bytes, threads: int, name: str, batch: int = 1) -> Inference:
        interpreter = litert_interpreter(content, threads, name, batch)
        _check_batch(name, [tuple(d["shape"]) for d in interpreter.get_input_details()], batch)
        for detail in interpreter.get_input_details():
            array = random_input(detail["name"], tuple(detail["shape"]), detail["dtype"])
            interpreter.set_tensor(detail["index"], array)
        invoke: Inference = interpreter.invoke
        try:
            invoke()
        except RuntimeError as error:
            raise RunError(f"{name} loads and does not run: {_one_line(error)}") from None
        return invoke


def onnx_session(content: bytes, threads: int, name: str, profile: str | None = None) -> Any:
    """An ONNX Runtime session of `content`; with `profile`, it writes its trace to that prefix."""
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the binding's exceptions share no base class
        raise InputError(f"{name} is not a model that ONNX Runtime loads: {_one_line(error)}") from None


def litert_interpreter(content: bytes, threads: int, name: str, batch: int = 1) -> Any:
    """An allocated LiteRT interpreter of `content`, its inputs resized to `batch` images where not 1."""
    try:
        interpreter = _litert().Interpreter(model_content=content, num_threads=threads)
        for detail in interpreter.get_input_details() if batch != 1 else ():
            interpreter.resize_tensor_input(detail["index"], [batch, *detail["shape"][1:]])
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{name} is not a model that LiteRT loads: {_one_line(error)}") from None
    return interpreter


def random_input(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Standard normal floats, or small whole numbers, the same for the same name; a numpy array."""
    import numpy as np

    rng = np.random.default_rng(zlib.crc32(name.encode()))
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.standard_normal(shape, dtype=np.float32).astype(kind, copy=False)
    return rng.integers(0, 2 if kind.kind == "b" else 100, shape).astype(kind)


def onnx_shape(name: str, tensor: Any, batch: int) -> tuple[int, ...]:
    """An input's shape, for `batch` images where the file takes any number; InputError where another size varies."""
    shape = [
        batch if position == 0 and not isinstance(size, int) else size
        for position, size in enumerate(tensor.shape)
    ]
    if not all(isinstance(size, int) and size > 0 for size in shape):
        raise InputError(
            f"{name}: input {tensor.name!r} has the shape {tensor.shape}; only the batch may vary"
        )
    return tuple(shape)


def _check_batch(name: str, shapes: Sequence[tuple[int, ...]], batch: int) -> None:
    wrong = fixed_to_others(shapes, batch)
    if wrong is not None:
        raise InputError(
            f"{name}: its input is for {wrong} image(s), and --batch is {batch}; give --batch {wrong}, or a "
            "file for any batch, as nas-export writes"
        )


_ONNX_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "int8": "int8", "uint8": "uint8",
    "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32", "int64": "int64",
    "uint64": "uint64", "bool": "bool",
}  # fmt: skip


def onnx_dtype(name: str, text: str) -> str:
    """NumPy's name of an input's type; InputError for what is no tensor of numbers."""
    inner = text.removeprefix("tensor(").removesuffix(")")
    if inner not in _ONNX_TYPES:
        raise InputError(f"{name}: an input has the type {text}; expected a tensor of numbers")
    return _ONNX_TYPES[inner]


def _onnxruntime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise RunError(f"onnxruntime cannot be imported ({error}); install it with pip") from None


@functools.cache
def _litert() -> Any:
    # Either package's interpreter will do; tflite_runtime is the older name.
    for module in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise RunError("neither ai_edge_litert nor tflite_runtime can be imported; pip install ai-edge-litert")


def _package_version(module: Any) -> str:
    from importlib.metadata import version

    return version(str(module.__name__).split(".")[0].replace("_", "-"))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
