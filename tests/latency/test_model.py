"""Model files as they are met: with their weights beside them, and for other numbers of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

import latency
from candidates import Architecture, InputError
from candidates.onnx_writer import onnx_model
from candidates.tflite_writer import tflite_model
from latency.inputs import fixed_to_others, shapes_in
from latency.model import model_of

TINY = Architecture.from_blocks(
    ["r1_k3_s22_e1_i8_o8"], stem=8, head=16, resolution=16, classes=3, name="tiny"
)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A model whose weights lie in a file of their own, as PyTorch's exporter writes it."""
    path = tmp_path / "exported" / "net.onnx"
    path.parent.mkdir()
    onnx.save_model(
        onnx_model(TINY), path, save_as_external_data=True, location="net.onnx.data", size_threshold=0
    )
    assert b"location" in path.read_bytes()
    return path


def test_weights_beside_an_onnx_file_are_part_of_it(beside: Path) -> None:
    found = latency.measure(beside, blocks=1, min_runs=5, min_seconds=0, reference=False)
    assert found.latency_ms > 0
    whole = model_of(beside)
    assert whole.content("onnx").count(b"net.onnx.data") == 0
    data = beside.with_name("net.onnx.data")
    data.write_bytes(bytes(byte ^ 1 for byte in data.read_bytes()))
    assert model_of(beside).digest() != whole.digest()  # other weights, another model


def test_weights_that_are_not_there_are_named(beside: Path) -> None:
    beside.with_name("net.onnx.data").unlink()
    with pytest.raises(InputError, match=r"the weights beside .*net\.onnx cannot be read: .*net\.onnx\.data"):
        model_of(beside).content("onnx")


def test_weights_are_read_from_nowhere_else(beside: Path) -> None:
    secret = beside.parent.parent / "secret"
    secret.write_bytes(beside.with_name("net.onnx.data").read_bytes())
    model = onnx.load_model(beside, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    beside.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"the weights beside .* cannot be read"):
        model_of(beside).content("onnx")


@pytest.mark.parametrize(
    ("content", "form", "batch", "found"),
    [
        (onnx_model(TINY, batch=8).SerializeToString(), "onnx", 1, 8),
        (onnx_model(TINY, batch=8).SerializeToString(), "onnx", 8, None),
        (onnx_model(TINY, batch=None).SerializeToString(), "onnx", 4, None),
        (tflite_model(TINY), "tflite", 1, None),
        (tflite_model(TINY), "tflite", 4, 1),
        (b"no model", "onnx", 1, None),
        (b"no model", "tflite", 1, None),
    ],
)
def test_how_many_images_a_file_takes(content: bytes, form: str, batch: int, found: Any) -> None:
    assert fixed_to_others(shapes_in(content, form), batch) == found
