"""Several images at once, and frames per second; a GPU's way of measuring, on whatever PyTorch runs here."""

import json

import flatbuffers
import pytest

import latency
from candidates import Architecture, InputError, zoo
from candidates.export.onnx_file import write_onnx
from candidates.onnx_writer import onnx_model
from candidates.tflite_writer import tflite_model
from latency.gpu import GpuDevice, gpu
from latency.measurement import Measurement
from latency.model import Model
from latency.settings import Settings
from latency.store import Store, measured

TINY = Architecture.from_blocks(
    ["r1_k3_s22_e1_i8_o8"], stem=8, head=16, resolution=32, classes=3, name="tiny"
)


def quick(batch: int) -> Settings:
    return Settings(blocks=1, min_runs=20, min_seconds=0.02, reference=False, batch=batch)


@pytest.mark.parametrize("device", ["cpu", "cpu:litert"])
def test_a_batch_takes_longer_than_one_image(device: str) -> None:
    from latency.registry import resolve

    model = Model("r", architecture=zoo.load("mobilenet-v2-reduced"))
    one, eight = (resolve(device).measure(model, quick(batch)) for batch in (1, 8))
    assert (one.batch, eight.batch) == (1, 8)
    assert eight.p5_ms > 2 * one.p5_ms  # the fast runs: others may be on the machine
    assert eight.frames_per_second == pytest.approx(8000 / eight.latency_ms)
    assert Measurement.from_dict(json.loads(json.dumps(eight.to_dict()))) == eight


def test_files_are_measured_with_a_batch_where_they_take_one(tmp_path) -> None:
    from candidates import build

    write_onnx(TINY, build(TINY).eval(), tmp_path / "any.onnx")
    (tmp_path / "one.onnx").write_bytes(onnx_model(TINY).SerializeToString())
    (tmp_path / "one.tflite").write_bytes(tflite_model(TINY))
    from latency.model import model_of
    from latency.registry import resolve

    for name, device in (("any.onnx", "cpu"), ("one.tflite", "cpu:litert")):
        assert resolve(device).measure(model_of(tmp_path / name), quick(4)).batch == 4
    with pytest.raises(InputError, match=r"is for 1 image\(s\), and --batch is 4; give --batch 1"):
        resolve("cpu").measure(model_of(tmp_path / "one.onnx"), quick(4))


def test_the_store_keeps_batches_apart(tmp_path) -> None:
    from latency.registry import resolve

    store, device, model = Store(tmp_path / "m.db"), resolve("cpu"), Model("tiny", architecture=TINY)
    for batch in (1, 4):
        found, known = measured(model, device, quick(batch), store)
        assert (found.batch, known) == (batch, False)
    assert [m.batch for m in store.history(model.digest())] == [1, 4]
    assert store.find(model, device, quick(2)) is None


def test_a_network_is_timed_by_pytorch() -> None:
    device = GpuDevice("cpu")
    found = device.measure(Model("tiny", architecture=TINY), quick(2))
    assert (found.runtime, found.batch, found.device) == ("pytorch", 2, "cpu")
    assert found.count >= 20
    with pytest.raises(InputError, match=r"a\.onnx is a file; cpu runs architectures by PyTorch"):
        device.measure(Model("a.onnx", path="a.onnx"), quick(1))  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"device 'cuda:99' is not there: PyTorch .* sees these GPUs: "):
        gpu("cuda:99")
    with pytest.raises(InputError, match="device 'cuda:x' is not there"):
        latency.measure(TINY, "cuda:x")


def for_eight(content: bytes) -> bytes:
    """The .tflite file with eight images at once as the shape of its input."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = [8, *graph.tensors[graph.inputs[0]].shape[1:]]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_a_file_for_eight_images_is_not_measured_as_one(tmp_path, form: str) -> None:
    from latency.model import model_of
    from latency.registry import resolve

    path, device = tmp_path / f"eight.{form}", resolve("cpu" if form == "onnx" else "cpu:litert")
    if form == "onnx":
        proto = onnx_model(TINY)
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 8
        path.write_bytes(proto.SerializeToString())
    else:
        path.write_bytes(for_eight(tflite_model(TINY)))
    with pytest.raises(InputError, match=r"is for 8 image\(s\), and --batch is 1; give --batch 8"):
        device.measure(model_of(path), quick(1))
    assert device.measure(model_of(path), quick(8)).batch == 8
