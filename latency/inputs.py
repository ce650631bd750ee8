"""How many images a model file takes at once, read from the file itself, without running it."""

from __future__ import annotations

from collections.abc import Sequence

IMAGES = 4  # dimensions of an input that is images


def fixed_to_others(shapes: Sequence[tuple[int | None, ...]], batch: int) -> int | None:
    """The number of images that inputs of these shapes take where it is not `batch`, else None.

    What such a file takes would be told of the wrong number. A first size of None takes any.
    """
    images = [shape for shape in shapes if len(shape) == IMAGES]
    others = [shape for shape in shapes if shape] if batch != 1 else []
    return next((shape[0] for shape in images or others if shape[0] not in (None, batch)), None)


def shapes_in(content: bytes, form: str) -> list[tuple[int | None, ...]]:
    """The shapes of a file's inputs, None for a size that varies; none at all where it cannot be read here.

    What runs the file on a device knows operations that are unknown here, and it says what is wrong.
    """
    try:
        return _onnx(content) if form == "onnx" else _tflite(content)
    except Exception:  # each library's own kinds
        return []


def _onnx(content: bytes) -> list[tuple[int | None, ...]]:
    import onnx

    graph = onnx.load_model_from_string(content).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [
        tuple(size.dim_value or None for size in given.type.tensor_type.shape.dim)
        for given in graph.input
        if given.name not in weights
    ]


def _tflite(content: bytes) -> list[tuple[int | None, ...]]:
    from latency.runtimes import litert_interpreter

    inputs = litert_interpreter(content, 1, "the model").get_input_details()
    return [tuple(int(size) for size in given["shape"]) for given in inputs]
