"""Exported files as plain functions from images to logits, whatever their format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from candidates.errors import InputError
from candidates.export.samples import Floats
from candidates.export.silence import silenced

Classify = Callable[[Floats], Floats]
"""Images N×C×H×W float32, normalised, to logits N×classes float32."""

BATCH = 32


def open_exported(path: Path) -> Classify:
    """The model in `path`: an exported folder (its PyTorch network), an .onnx or a .tflite file.

    Files that take or give int8 are fed and read through the scale and zero point that they declare.
    """
    if path.is_dir():
        from candidates import network

        return of_network(network.load(path))
    if path.suffix == ".onnx":
        return _onnx(path.read_bytes())
    if path.suffix == ".tflite":
        return of_tflite(path.read_bytes())
    raise InputError(f"{path} is not an exported model; expected a folder, an .onnx or a .tflite file")


def of_network(net: Any) -> Classify:
    """A PyTorch module in eval mode, run in batches."""
    import torch

    def classify(images: Floats) -> Floats:
        with torch.no_grad():
            parts = [net(part).numpy() for part in torch.split(torch.from_numpy(images), BATCH)]
        logits: Floats = np.concatenate(parts)
        return logits

    return classify


def _onnx(content: bytes) -> Classify:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def classify(images: Floats) -> Floats:
        starts = range(0, len(images), BATCH)
        logits: Floats = np.concatenate(
            [session.run(None, {name: images[start : start + BATCH]})[0] for start in starts]
        )
        return logits

    return classify


def of_tflite(content: bytes) -> Classify:
    """A .tflite file's content: one image at a time, channels last."""
    interpreter = _interpreter(content)
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()

    def classify(images: Floats) -> Floats:
        rows = []
        for image in images.transpose(0, 2, 3, 1)[:, None]:
            interpreter.set_tensor(source["index"], _quantised(np.ascontiguousarray(image), source))
            interpreter.invoke()
            rows.append(_dequantised(interpreter.get_tensor(sink["index"]), sink))
        return np.concatenate(rows)

    return classify


def quantisation(path: Path) -> dict[str, dict[str, Any]]:
    """Type, scale and zero point of a .tflite file's input and output, where they are not float32."""
    interpreter = _interpreter(path.read_bytes())
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = {}
    for name, detail in (("input", source), ("output", sink)):
        if detail["dtype"] != np.float32:
            scale, zero = detail["quantization"]
            found[name] = {
                "type": np.dtype(detail["dtype"]).name,
                "scale": float(scale),
                "zero_point": int(zero),
            }
    return found


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    with silenced():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


def _quantised(values: Floats, detail: dict[str, Any]) -> Any:
    if detail["dtype"] == np.float32:
        return values
    scale, zero = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(detail["dtype"])


def _dequantised(values: Any, detail: dict[str, Any]) -> Floats:
    if detail["dtype"] == np.float32:
        return np.array(values)
    scale, zero = detail["quantization"]
    found: Floats = ((values.astype(np.float32) - zero) * scale).astype(np.float32)
    return found
