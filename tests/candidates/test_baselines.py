"""The networks that are not made of blocks: exact costs, the same outputs in every format, strict JSON."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from candidates import Baseline, InputError, build, zoo
from candidates.export.running import of_tflite
from candidates.layers import Bottleneck, Layer
from candidates.network import Network
from candidates.onnx_writer import onnx_model
from candidates.operations import operations
from candidates.reading import network_from_dict
from candidates.tflite_writer import tflite_model
from tests.candidates.looks import trained_looking

NAMES = ("enet-v2", "enet-v3", "enet-v7", "vgg-like", "resnet-like", "resnet-18-reduced")


def small(name: str) -> Baseline:
    """The network at a size that runs fast."""
    arch = zoo.load(name)
    assert isinstance(arch, Baseline)
    return arch.for_input(32 if name.startswith("enet") else 12)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vgg-like", 6.0), ("resnet-like", 2.0), ("mobilenet-v2-reduced", 0.68), ("resnet-18-reduced", 2.1)],
)
def test_the_small_networks_have_their_published_sizes(name: str, millions: float) -> None:
    arch = zoo.load(name)
    assert arch.parameters() / 1e6 == pytest.approx(millions, rel=0.02)
    assert (arch.resolution, arch.channels_in, arch.classes) == (28, 1, 10)


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("enet-v2", [(112, 16), (56, 64), (28, 128), (14, 128), (7, 128)]),
        ("enet-v3", [(112, 16), (56, 64), (28, 128), (28, 256), (14, 256), (14, 512), (7, 512)]),
        ("enet-v7", [(112, 16), (56, 64), (28, 128), (14, 256), (7, 512)]),
    ],
)
def test_enets_maps_are_those_of_its_description(name: str, maps: list[tuple[int, int]]) -> None:
    arch = zoo.load(name)
    last = {op.layer: op for op in operations(arch.layers, arch.resolution)}
    found = [(op.out_size[0], op.out_channels) for op in last.values()]
    assert list(dict.fromkeys(found))[:-1] == maps
    assert found[-1] == (1, 1000)


def test_enet_v2_has_its_sequence_twice() -> None:
    bottlenecks = [layer for layer in zoo.load("enet-v2").layers if isinstance(layer, Bottleneck)]
    assert len(bottlenecks) == 1 + 4 + 1 + 2 * (8 + 1)
    sequence = [(b.kernel, b.dilation, b.asymmetric) for b in bottlenecks[6:14]]
    assert [d for _, d, _ in sequence] == [1, 2, 1, 4, 1, 8, 1, 16]
    assert [k for k, _, asymmetric in sequence if asymmetric] == [5, 5]
    assert all(b.expanded == b.out_channels // 4 for b in bottlenecks)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_computes_what_pytorch_does(name: str) -> None:
    arch = small(name)
    net = trained_looking(arch)
    weights = {key: value.numpy() for key, value in net.state_dict().items()}
    images = np.random.default_rng(0).standard_normal(
        (2, arch.channels_in, arch.resolution, arch.resolution), dtype=np.float32
    )
    with torch.no_grad():
        expected = net(torch.from_numpy(images)).numpy()
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    model = onnx_model(arch, weights, batch=None)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    limit = 1e-4 * max(1.0, np.abs(expected).max())
    assert np.abs(session.run(None, {"input": images})[0] - expected).max() <= limit
    for quantisable in (False, True):
        content = tflite_model(arch, weights, quantisable)
        assert np.abs(of_tflite(content)(images) - expected).max() <= limit


def test_a_bottleneck_is_what_the_paper_says() -> None:
    """Written again, without the network's modules: PReLU after the sum, zeros for new channels."""
    layers = (Bottleneck("enet_bottleneck", 3, 8, 3, (2, 2), "prelu", expanded=2), Layer("classifier", 8, 4))
    net = trained_looking(Baseline(layers, 8))
    w, x = net.state_dict(), torch.randn(2, 3, 8, 8)

    def norm(y, name):
        return torch.nn.functional.batch_norm(
            y,
            *(w[f"layers.0.{name}.norm.{k}"] for k in ("running_mean", "running_var", "weight", "bias")),
            eps=1e-3,
        )

    def prelu(y, name):
        slope = w[f"layers.0.{name}weight"].view(1, -1, 1, 1)
        return torch.where(y > 0, y, slope * y)

    conv = torch.nn.functional.conv2d
    y = prelu(norm(conv(x, w["layers.0.reduce.conv.weight"], stride=2), "reduce"), "reduce.activation.")
    y = prelu(norm(conv(y, w["layers.0.conv.conv.weight"], padding=1), "conv"), "conv.activation.")
    y = norm(conv(y, w["layers.0.expand.conv.weight"]), "expand")
    skip = torch.cat((torch.nn.functional.max_pool2d(x, 2), torch.zeros(2, 5, 4, 4)), 1)
    with torch.no_grad():
        assert torch.allclose(net.layers[0](x), prelu(y + skip, "activation."), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_json_gives_the_same_network(name: str) -> None:
    arch = zoo.load(name)
    again = network_from_dict(json.loads(arch.to_json()))
    assert again == arch
    assert again.id == arch.id
    assert again.name == name


def test_other_inputs_and_classes() -> None:
    arch = zoo.load("vgg-like").for_input(32, 3, 7)
    assert (arch.resolution, arch.channels_in, arch.classes) == (32, 3, 7)
    assert build(arch).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    assert zoo.load("vgg-like").for_input(28) == zoo.load("vgg-like")
    with pytest.raises(InputError, match="resolution 101 is odd"):
        zoo.load("enet-v2").for_input(101)
    assert build(zoo.load("enet-v2").for_input(38, 1, 3)).eval()(torch.zeros(1, 1, 38, 38)).shape == (1, 3)
    with pytest.raises(InputError, match="resolution 3 is too small"):
        zoo.load("resnet-like").for_input(3)


@pytest.mark.parametrize("name", NAMES)
def test_widths(name: str) -> None:
    arch = small(name)
    assert arch.scaled(1.0) == arch
    half = arch.scaled(0.5)
    assert 0.2 * arch.parameters() < half.parameters() < 0.4 * arch.parameters()
    assert (half.channels_in, half.classes, half.name) == (arch.channels_in, arch.classes, f"{name}-0.5")


GOOD = json.loads(zoo.load("resnet-like").to_json())


@pytest.mark.parametrize(
    ("layer", "change", "words"),
    [
        (0, {"operation": "lstm"}, "layer 0: operation is 'lstm'; expected one of"),
        (0, {"kernel": 2}, "kernels are odd"),
        (0, {"out_channels": 0}, "layer 0: out_channels is 0"),
        (0, {"out_channels": 63}, "layer 0 .conv. gives 63 channels and layer 1 takes 64"),
        (0, {"stride": [2]}, r"layer 0: stride is \[2\]; expected two whole numbers"),
        (0, {"speed": 2}, "layer 0: key is 'speed'"),
        (0, {"activation": "gelu"}, "activation is 'gelu'"),
        (0, {"skip": "identity"}, "an identity skip needs equal channels"),
        (3, {"skip": "none"}, r"layer 3 \(residual\): its skip is one of identity, project"),
        (0, {"skip": "project"}, r"layer 0 \(conv\): its skip is one of none, identity, pool"),
        (2, {"stride": [4, 4], "kernel": 64}, "resolution 28 is too small"),
        (8, {"operation": "conv"}, "the last a classifier"),
    ],
)
def test_json_that_is_no_network_is_refused(layer: int, change: dict, words: str) -> None:
    values = json.loads(json.dumps(GOOD))
    values["layers"][layer] |= change
    with pytest.raises(InputError, match=words):
        network_from_dict(values)


def test_json_from_another_network_is_refused() -> None:
    with pytest.raises(InputError, match="id is 'x' but its layers give"):
        network_from_dict({**GOOD, "id": "x"})
    with pytest.raises(InputError, match="spec does not follow"):
        network_from_dict({**GOOD, "spec": {}})
    with pytest.raises(InputError, match="format 2"):
        network_from_dict({**GOOD, "format": 2})


odd = st.sampled_from(
    [0, -1, 1, 2, 3, 5, 2**31, 0.5, True, None, "relu", "prelu", "none", "pool", [1, 1], [2, 2], {}]
)
KEYS = [
    "operation",
    "in_channels",
    "out_channels",
    "kernel",
    "stride",
    "activation",
    "expanded",
    "skip",
    "squeeze",
]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["resnet-like", "vgg-like", "enet-v2"]),
    st.integers(0, 8),
    st.sampled_from([*KEYS, "dilation", "asymmetric", "dropout"]),
    odd | st.sampled_from(["conv", "mbconv", "residual", "max_pool", "dense", "classifier"]),
)
def test_changed_json_is_refused_or_builds_what_is_counted(name: str, layer: int, key: str, value) -> None:
    values = json.loads(zoo.load(name).to_json())
    values["layers"][layer][key] = value
    try:
        arch = network_from_dict(values)
    except InputError:
        return
    if arch.parameters() > 10**8:
        return
    with torch.device("meta"):
        net = Network(arch.spec())
    assert arch.parameters() == sum(p.numel() for p in net.parameters())
    shape = (1, arch.channels_in, arch.resolution, arch.resolution)
    assert net.eval()(torch.zeros(shape, device="meta")).shape == (1, arch.classes)
