"""ONNX files: float by PyTorch's exporter, int8 by ONNX Runtime's quantiser."""

from __future__ import annotations

import copy
import tempfile
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

    net = _folded(net)  # a third fewer operations to trace, and what every runtime does anyway
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


def _folded(net: Any) -> Any:
    """A copy of `net` with batch normalisation folded into the convolutions before it."""
    from torch import nn
    from torch.nn.utils import fuse_conv_bn_eval

    from candidates.network import Conv

    copied = copy.deepcopy(net)
    for module in copied.modules():
        if isinstance(module, Conv):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.add_module("norm", nn.Identity())
    return copied


def int8_onnx(source: Path, calibration: Floats) -> bytes:
    """The float file `source` in int8: QDQ, weights int8 per channel, activations uint8.

    Of the formats that ONNX Runtime offers, this is the fast one on a CPU; input and output stay float32.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, silenced():
        prepared, target = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
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
        return target.read_bytes()


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
