import numpy as np
import pytest
import torch

from candidates import Architecture, build, zoo
from candidates.tflite_writer import ALIGNMENT, SIGNATURE, tflite_model

EVERYTHING = [
    "r1_k3_s22_e1_i8_o12_se0.25",
    "r2_k5_s22_e3_i12_o16_se0.25_pool_hswish",
    "r1_k3_s12_e1_i16_o16_pool_conv",
    "r1_k3_s11_e6_i16_o24_swish",
    "r1_k7_s21_e2_i24_o24_noskip_relu6",
]


def outputs(arch, seed=0):
    """TFLite's and PyTorch's logits for the same weights and image."""
    from ai_edge_litert.interpreter import Interpreter

    net = build(arch, seed).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # folding must see statistics that do something
            generator = torch.Generator().manual_seed(seed)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    image = np.random.default_rng(seed).standard_normal(
        (1, arch.channels_in, arch.resolution, arch.resolution), dtype=np.float32
    )
    with torch.no_grad():
        expected = net(torch.from_numpy(image)).numpy()
    interpreter = Interpreter(model_content=tflite_model(arch, weights), num_threads=1)
    run = interpreter.get_signature_runner(SIGNATURE)
    return run(input=np.ascontiguousarray(image.transpose(0, 2, 3, 1)))["logits"], expected


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("resolution", [64, 75])
def test_every_operation_agrees_with_pytorch(padding, resolution):
    arch = Architecture.from_blocks(
        EVERYTHING, stem=8, head=32, resolution=resolution, classes=7, channels_in=2, padding=padding
    )
    found, expected = outputs(arch)
    assert found.shape == (1, 7)
    assert np.abs(expected).max() > 1e-2
    assert np.allclose(found, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("name", ["mnasnet-a1", "mobilenet-v2"])
def test_named_networks_agree_with_pytorch(name):
    found, expected = outputs(zoo.load(name).scaled(resolution=96))
    assert np.allclose(found, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


def test_the_paddings_differ_where_they_should():
    base = {"stem": 8, "head": 16, "resolution": 32, "classes": 3}
    archs = [
        Architecture.from_blocks(["r1_k3_s22_e1_i8_o8"], padding=p, **base) for p in ("symmetric", "same")
    ]
    symmetric, same = (outputs(arch)[0] for arch in archs)
    assert np.abs(symmetric - same).max() > 1e-3


def test_constants_are_aligned():
    from ai_edge_litert import schema_py_generated as schema

    content = tflite_model(zoo.load("mnasnet-small").scaled(resolution=64))
    model = schema.Model.GetRootAs(content, 0)
    places = [
        model.Buffers(i)._tab.Vector(model.Buffers(i)._tab.Offset(4)) for i in range(1, model.BuffersLength())
    ]
    assert len(places) > 50
    assert {place % ALIGNMENT for place in places} == {0}


def test_the_same_file_every_time():
    arch = zoo.load("mnasnet-small")
    assert tflite_model(arch) == tflite_model(arch)
