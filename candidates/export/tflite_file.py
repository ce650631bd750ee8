"""TFLite files: float by our own writer, int8 by the AI Edge Quantizer."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from candidates.errors import RunError
from candidates.export.samples import Floats
from candidates.export.silence import silenced
from candidates.layered import Layered
from candidates.tflite_writer import tflite_model


def float_tflite(arch: Layered, net: Any, quantisable: bool = False) -> bytes:
    """The .tflite file of `net`: input 1×H×W×C float32, output 1×classes logits, batch normalisation folded."""
    return tflite_model(arch, {name: value.numpy() for name, value in net.state_dict().items()}, quantisable)


def int8_tflite(content: bytes, calibration: Floats, float_io: bool = False) -> bytes:
    """A float file in full integers: weights int8 per channel, biases int32, activations int8.

    Input and output are int8 too (integer-only accelerators ask for that), with the scale and zero point
    that the file declares; `float_io` makes them float32.
    """
    quantizer = _quantizer(content, "static_wi8_ai8")
    if float_io:
        from ai_edge_quantizer import qtyping

        for kind in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            quantizer.update_quantization_recipe(".*", kind, algorithm_key="no_quantize")
    with silenced():
        return bytes(quantizer.quantize(_ranges(content, calibration)).quantized_model)


def _ranges(content: bytes, calibration: Floats) -> dict[str, dict[str, Any]]:
    """The least and the greatest value of each activation over all images, by tensor name.

    The quantiser's own calibration takes moving averages over single images: it depends on the images' order
    and cuts off what is above the average image's greatest value.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    graph = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0]
    activations = {index: t.name.decode() for index, t in enumerate(graph.tensors) if t.buffer == 0}
    interpreter = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    least = dict.fromkeys(activations, np.inf)
    greatest = dict.fromkeys(activations, -np.inf)
    for image in calibration.transpose(0, 2, 3, 1)[:, None]:
        interpreter.set_tensor(source["index"], np.ascontiguousarray(image))
        interpreter.invoke()
        for index in activations:
            values = interpreter.get_tensor(index)
            least[index] = min(least[index], values.min())
            greatest[index] = max(greatest[index], values.max())
    return {
        name: {"min": np.array([least[index]], np.float32), "max": np.array([greatest[index]], np.float32)}
        for index, name in activations.items()
    }


def int8_weights_tflite(content: bytes) -> bytes:
    """A float file whose weights alone are int8, per channel: a quarter of the size, computed in float."""
    quantizer = _quantizer(content, "weight_only_wi8_afp32")
    with silenced():
        return bytes(quantizer.quantize().quantized_model)


def check_quantizer() -> None:
    """Raise RunError where the AI Edge Quantizer, an optional package, is not installed."""
    if find_spec("ai_edge_quantizer") is None:
        raise RunError(
            "int8 TFLite files need the AI Edge Quantizer, which is not installed; pip install ai-edge-quantizer"
        )


def _quantizer(content: bytes, recipe: str) -> Any:
    check_quantizer()
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer import recipe as recipes

    return quantizer.Quantizer(bytearray(content), getattr(recipes, recipe)())
