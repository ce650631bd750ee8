import pytest

from candidates import Architecture, InputError, zoo
from candidates.onnx_writer import onnx_model
from candidates.operations import operations
from latency.chart import svg
from latency.model import Model, model_of
from latency.profiling import NodeTime, _node_runs, by_layer, operation_times, profile

EVERYTHING = Architecture.from_blocks(
    [
        "r1_k3_s22_e1_i8_o16_se0.25",
        "r2_k5_s22_e3_i16_o24_se0.25_pool_hswish",
        "r1_k3_s11_e1_i24_o24_conv",
        "r1_k3_s11_e6_i24_o24_swish",
    ],
    stem=8,
    head=32,
    resolution=64,
    classes=7,
)


def test_every_layer_gets_its_time():
    arch = zoo.load("mnasnet-a1").scaled(resolution=96)
    nodes = profile(model_of(arch), runs=3)
    layers = by_layer(nodes)
    assert len(layers) == len(arch.layers)
    assert [int(layer.name.split()[0]) for layer in layers] == list(range(len(arch.layers)))
    assert sum(n.share for n in nodes) == pytest.approx(1)
    assert sum(layer.ms for layer in layers) == pytest.approx(sum(n.ms for n in nodes))
    assert min(layer.ms for layer in layers) > 0


def test_a_layer_with_more_work_takes_longer():
    arch = Architecture.from_blocks(
        ["r1_k3_s11_e1_i8_o8_conv", "r1_k5_s11_e1_i8_o128_conv", "r1_k3_s22_e1_i128_o8"],
        stem=8, head=8, resolution=64, classes=2,
    )  # fmt: skip
    layers = by_layer(profile(model_of(arch), runs=5))
    assert layers[2].ms > 3 * layers[1].ms


def test_operations_that_were_fused_have_no_time_of_their_own():
    found = operation_times(EVERYTHING, runs=2)
    ops = operations(EVERYTHING.layers, EVERYTHING.resolution)
    assert set(found) <= set(range(len(ops)))
    assert {i for i, op in enumerate(ops) if op.kind == "conv"} <= set(found)
    assert len(ops) - 1 in found
    assert min(found.values()) > 0


def test_a_file_is_profiled_by_its_nodes(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_model(EVERYTHING).SerializeToString())
    nodes = profile(Model("m", path=path), runs=2)
    assert {n.layer for n in nodes} == {""}
    assert any(n.operation == "Conv" for n in nodes)
    with pytest.raises(InputError, match="only ONNX Runtime can be profiled"):
        profile(Model("m", path=tmp_path / "m.tflite"))


def event(name, us, op="Conv", cat="Node"):
    return {"cat": cat, "name": name, "dur": us, "args": {"op_name": op}}


def test_reorderings_count_for_what_needs_them():
    events = [
        event("nas:a:_kernel_time", 100),
        event("ReorderOutput_token_3_kernel_time", 10, "ReorderOutput"),
        event("b_nchwc_kernel_time", 200),
        event("b_nchwc_fence_before", 7),
        event("ReorderOutput_kernel_time", 30, "ReorderOutput"),
        event("model_run", 400, cat="Session"),
        event("nas:a:_kernel_time", 110),
        event("model_run", 400, cat="Session"),
    ]
    times, executed = _node_runs(events, {"a", "b"})
    assert times == {"a": [0.1, 0.11], "b": [pytest.approx(0.24)]}
    assert executed == {"a": "Conv", "b": "Conv"}


def test_the_chart_is_svg_with_a_bar_for_each():
    from xml.etree import ElementTree

    bars = [NodeTime("a <b> & c", "Conv", "", 1.0, 0.25), NodeTime("d", "Conv", "", 3.0, 0.75)]
    root = ElementTree.fromstring(svg('"title" & <more>', bars))
    name = "{http://www.w3.org/2000/svg}"
    lengths = [float(r.get("width")) for r in root.findall(f"{name}rect")[1:]]
    assert lengths[1] == pytest.approx(3 * lengths[0], rel=1e-3)
    assert "a <b> & c" in [t.text for t in root.findall(f"{name}text")]


def simple(tmp_path, shape, kind):
    """A file with one Cast of an input of this shape and type."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        "cast",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    path = tmp_path / "cast.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return Model("cast.onnx", path=path)


def test_a_file_is_profiled_on_the_input_that_it_is_measured_on(tmp_path):
    from onnx import TensorProto

    assert profile(simple(tmp_path, [1, 3, 8, 8], TensorProto.UINT8), runs=2)
    assert profile(simple(tmp_path, [8, 3, 8, 8], TensorProto.FLOAT), runs=2)  # its own number of images
    with pytest.raises(InputError, match="only the batch may vary"):
        profile(simple(tmp_path, ["n", 3, "h", "w"], TensorProto.FLOAT), runs=2)
