from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from candidates import Architecture, build, zoo
from candidates.export.onnx_file import write_onnx
from candidates.onnx_writer import onnx_model
from search_space import load_space
from tests.candidates.looks import trained_looking


def architectures() -> list[Architecture]:
    space, rng = load_space("mnasnet"), np.random.default_rng(3)
    sampled = [
        replace(space.decode(space.sample(rng)), resolution=size, padding=padding)
        for size in (64, 75)
        for padding in ("symmetric", "same")
    ]
    small = zoo.load("mnasnet-a1").for_input(resolution=32, channels_in=1, classes=10)
    odd = Architecture.from_blocks(["r2_k5_s21_e3_i32_o40_se0.25_pool_hswish", "r1_k3_s22_e1_i40_o40_swish"])
    return [*sampled, small, zoo.load("mobilenet-v2").scaled(resolution=96), replace(odd, resolution=33)]


@pytest.mark.parametrize("arch", architectures(), ids=lambda arch: f"{arch.id}-{arch.resolution}")
def test_the_direct_graph_computes_what_pytorch_does(arch: Architecture) -> None:
    net = trained_looking(arch)
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    model = onnx_model(arch, weights, batch=None)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, arch.channels_in, arch.resolution, arch.resolution, generator=generator)
    with torch.no_grad():
        expected = net(image).numpy()
    found = session.run(None, {"input": image.numpy()})[0]
    assert np.abs(found - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


def test_synthetic_weights_keep_activations_in_range_and_are_the_same_each_time() -> None:
    arch = zoo.load("mnasnet-a1")
    content = onnx_model(arch).SerializeToString()
    assert content == onnx_model(arch).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    logits = session.run(None, {"input": image})[0]
    assert logits.shape == (1, 1000)
    assert 1e-3 < np.abs(logits).mean() < 1e3


def test_the_shipped_graph_runs_on_the_same_kernels_as_the_measured_one(tmp_path: Path) -> None:
    """What is deployed must be as fast as what was measured: the runtime picks the same kernels for both.

    Squeeze-and-excite's mean is the one exception: PyTorch's exporter writes ReduceMean, which costs the
    same. A pooling skip that counts padding would leave the blocked layout, and once cost an eighth.
    """
    arch = Architecture.from_blocks(
        ["r2_k3_s22_e3_i16_o24_se0.25_pool", "r1_k5_s22_e1_i24_o32_pool_conv", "r1_k3_s11_e6_i32_o32_hswish"],
        stem=16,
        resolution=48,
        classes=10,
    )
    write_onnx(arch, build(arch).eval(), tmp_path / "model.onnx")
    shipped = kernels((tmp_path / "model.onnx").read_bytes(), tmp_path)
    measured = kernels(onnx_model(arch).SerializeToString(), tmp_path)
    assert shipped == measured
    assert sum(count for name, count in measured.items() if name.endswith("AveragePool")) == 2


def kernels(model: bytes, folder: Path) -> Counter[str]:
    """How often the runtime runs each convolution, pooling and linear kernel after its optimisations."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3  # it warns that such a file is for this machine only
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    return Counter(
        f"{node.domain or 'onnx'} {node.op_type}"
        for node in nodes
        if "Conv" in node.op_type or node.op_type in ("Gemm", "AveragePool")
    )
