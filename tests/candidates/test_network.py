"""The network against the reference: counts made independently, and the pitfalls of other implementations."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from candidates import Architecture, Block, build, zoo
from candidates.network import Conv, InvertedBottleneck, SqueezeExcite, pad_same
from search_space import load_space


def counted_multiply_adds(net: nn.Module, image: torch.Tensor) -> int:
    """Multiply-adds from the shapes that pass through the built modules."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        positions = output.shape[2] * output.shape[3] if output.ndim == 4 else 1
        total += weight.numel() * positions

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)  # type: ignore[arg-type]
    with torch.no_grad():
        net.eval()(image)
    return total


def architectures() -> list[Architecture]:
    space, rng = load_space("mnasnet"), np.random.default_rng(0)
    sampled = [space.decode(space.sample(rng)).for_input(resolution=size) for size in (32, 97, 224)]
    return [*(zoo.load(name).scaled(width) for name in zoo.names() for width in (1.0, 0.5)), *sampled]


@pytest.mark.parametrize("arch", architectures(), ids=lambda arch: arch.name or arch.id)
def test_counts_equal_those_over_the_built_module(arch: Architecture) -> None:
    net = build(arch)
    assert arch.parameters() == sum(p.numel() for p in net.parameters())
    image = torch.zeros(1, arch.channels_in, arch.resolution, arch.resolution)
    assert arch.multiply_adds() == counted_multiply_adds(net, image)


def bottlenecks(net: nn.Module) -> list[InvertedBottleneck]:
    return [module for module in net.modules() if isinstance(module, InvertedBottleneck)]


def test_layers_of_a_block_share_no_weights() -> None:
    net = build(zoo.load("mnasnet-a1"))
    pointers = Counter(p.data_ptr() for p in net.parameters())
    assert max(pointers.values()) == 1
    second, third = bottlenecks(net)[1:3]
    assert not torch.equal(second.depthwise.conv.weight, third.depthwise.conv.weight)


def test_the_projection_is_linear() -> None:
    for layer in bottlenecks(build(zoo.load("mnasnet-a1"))):
        assert isinstance(layer.project.activation, nn.Identity)
        assert isinstance(layer.depthwise.activation, nn.ReLU)


def test_downsampling_happens_in_the_first_layers_depthwise_convolution() -> None:
    arch = Architecture.from_blocks(["r3_k5_s22_e6_i32_o40"])
    layers = bottlenecks(build(arch))
    assert [layer.depthwise.conv.stride for layer in layers] == [(2, 2), (1, 1), (1, 1)]
    assert all(layer.expand is not None and layer.expand.conv.stride == (1, 1) for layer in layers)
    assert all(layer.project.conv.stride == (1, 1) for layer in layers)


def test_the_head_has_1280_channels_at_every_width() -> None:
    for width in (0.35, 1.0, 1.4):
        net = build(zoo.load("mnasnet-b1").scaled(width))
        head = net.layers[-2]
        assert isinstance(head.conv, Conv)
        assert head.conv.conv.out_channels == 1280


def test_squeeze_and_excite_follows_the_layers_input_channels() -> None:
    arch = Architecture.from_blocks(["r2_k5_s22_e3_i32_o40_se0.25"])
    gates = [module for module in build(arch).modules() if isinstance(module, SqueezeExcite)]
    assert [(g.reduce.in_channels, g.reduce.out_channels) for g in gates] == [(96, 8), (120, 10)]
    assert all(g.reduce.bias is not None and g.expand.bias is not None for g in gates)
    one = Architecture.from_blocks(["r1_k3_s11_e6_i32_o16", "r1_k3_s11_e3_i16_o2_se0.01"])
    assert one.layers[2].squeeze == 1


def test_an_expansion_of_one_has_no_expansion_layer() -> None:
    (layer,) = bottlenecks(build(Architecture.from_blocks(["r1_k3_s11_e1_i32_o16"])))
    assert layer.expand is None


def test_skips_are_there_exactly_where_shape_allows() -> None:
    net = build(Architecture.from_blocks(["r2_k3_s22_e6_i32_o24", "r2_k3_s11_e6_i24_o24_noskip"]))
    assert [layer.shortcut is not None for layer in bottlenecks(net)] == [False, True, False, False]


def test_a_pooling_skip_always_connects() -> None:
    arch = Architecture.from_blocks(["r1_k3_s22_e6_i32_o24_pool"], resolution=66)
    (layer,) = bottlenecks(build(arch))
    with torch.no_grad():
        layer.project.norm.weight.zero_()  # leaves only the skip
        x = torch.randn(1, 32, 33, 33)
        out = layer.eval()(x)
    assert out.shape == (1, 24, 17, 17)
    assert out.abs().max() > 0


def test_batch_normalisation_and_biases_are_the_references() -> None:
    for module in build(zoo.load("mnasnet-a1")).modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-3, 0.01)
        if isinstance(module, Conv):
            assert module.conv.bias is None


def test_initialisation_is_the_references() -> None:
    net = build(zoo.load("mnasnet-b1"), seed=1)
    layer = bottlenecks(net)[-1]
    assert layer.expand is not None
    assert layer.expand.conv.weight.std().item() == pytest.approx(math.sqrt(2 / 1152), rel=0.02)
    assert layer.depthwise.conv.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    linear = net.layers[-1].linear
    assert isinstance(linear, nn.Linear)
    assert linear.weight.abs().max().item() == pytest.approx(1 / math.sqrt(1000), rel=0.01)
    assert linear.weight.std().item() == pytest.approx(1 / math.sqrt(3000), rel=0.02)
    assert not linear.bias.any()


def test_the_seed_alone_decides_the_weights() -> None:
    arch = zoo.load("mnasnet-small")
    state = torch.random.get_rng_state()
    first, again, other = build(arch, seed=3), build(arch, seed=3), build(arch, seed=4)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_same_padding_is_tensorflows() -> None:
    padded = pad_same(torch.ones(1, 1, 8, 7), (3, 3), (2, 2))
    # TensorFlow at 8: 4 outputs need (4−1)·2+3 = 9 rows, one more, which goes below; at 7: 9, one each side.
    assert padded.shape == (1, 1, 9, 9)
    assert padded[0, 0, 0].sum() == 7
    assert padded[0, 0, -1].sum() == 0
    assert padded[0, 0, 1, 0] == 0


def test_the_two_paddings_differ_where_there_is_a_stride() -> None:
    symmetric = Architecture.from_blocks(["r1_k3_s22_e6_i32_o24"], resolution=32)
    same = Architecture.from_blocks(["r1_k3_s22_e6_i32_o24"], resolution=32, padding="same")
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        a, b = build(symmetric).eval()(image), build(same).eval()(image)
    assert a.shape == b.shape
    assert not torch.allclose(a, b)


def test_a_plain_convolution_block_runs_with_every_skip() -> None:
    for skip in ("none", "identity", "pool"):
        arch = Architecture.from_blocks([Block(2, 3, (2, 1), 1, 32, 24, 0.0, skip, "conv")], resolution=32)
        with torch.no_grad():
            assert build(arch).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
