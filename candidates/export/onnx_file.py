"""ONNX files: float by PyTorch's exporter, int8 by ONNX Runtime's quantiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from candidates.export.samples import Floats
from candidates.export.silence import silenced
from candidates.layered import Layered

OPSET = 20
CALIBRATION_BATCH = 16


def write_onnx(arch: Layered, net: Any, path: Path) -> None:
    """`net` as an ONNX file of float32 for any batch, input `input` N×C×H×W, output `logits` N×classes."""
    import onnx
    import torch

    example = torch.zeros(2, arch.channels_in, arch.resolution, arch.resolution)
    with silenced():
        torch.onnx.export(
            net,
            (example,),
            str(path),
            dynamo=True,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
            external_data=False,
        )
    onnx.checker.check_model(str(path), full_check=True)


def quantise_onnx(source: Path, target: Path, calibration: Floats) -> None:
    """The float file `source` in int8: QDQ, weights int8 per channel, activations uint8.

    Of the formats that ONNX Runtime offers, this is the fast one on a CPU; input and output stay float32.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = source.with_name("prepared.onnx")
    try:
        with silenced():
            # ONNX's own shape inference does; the symbolic one is for dynamic shapes inside the graph.
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                target,
                _Reader(calibration),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
    finally:
        prepared.unlink(missing_ok=True)


class _Reader:
    """Hands the calibration images to ONNX Runtime, batch by batch."""

    def __init__(self, images: Floats) -> None:
        self._batches = iter(
            [images[start : start + CALIBRATION_BATCH] for start in range(0, len(images), CALIBRATION_BATCH)]
        )

    def get_next(self) -> dict[str, Floats] | None:
        """The next batch, None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {"input": batch}
