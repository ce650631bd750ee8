"""Weights of torchvision's and timm's MnasNets: names, shapes and outputs."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from candidates import Architecture, InputError, build, zoo
from candidates.export import load_foreign
from candidates.layouts import adapted, name_map, read_state_dict, renamed

RECORDED = Path(__file__).parent / "state_dicts"
FILES = [
    ("torchvision-mnasnet1_0", "torchvision", zoo.load("mnasnet-b1")),
    ("torchvision-mnasnet0_5", "torchvision", zoo.load("mnasnet-b1").scaled(0.5)),
    ("timm-semnasnet_100", "timm", zoo.load("mnasnet-a1")),
    ("timm-mnasnet_small", "timm", zoo.load("mnasnet-small")),
]


def recorded(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a state dict, as torchvision 0.28.0 and timm 1.0.31 have them."""
    lines = (RECORDED / f"{name}.txt").read_text().splitlines()
    pairs = (line.split() for line in lines)
    return {key: () if shape == "-" else tuple(map(int, shape.split("x"))) for key, shape in pairs}


@pytest.mark.parametrize(("name", "layout", "arch"), FILES, ids=[f[0] for f in FILES])
def test_the_map_is_a_bijection_that_keeps_shapes(name: str, layout: str, arch) -> None:
    theirs = recorded(name)
    arch = adapted(arch, layout, {})
    ours = {key: tuple(value.shape) for key, value in build(arch).state_dict().items()}
    pairs = list(name_map(arch, layout))
    assert sorted(ours) == sorted(key for key, _ in pairs)
    assert sorted(theirs) == sorted(key for _, key in pairs)
    assert all(ours[one] == theirs[other] for one, other in pairs)


class TorchvisionBlock(nn.Module):
    """An inverted bottleneck as torchvision's list of eight modules has it, written anew."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.connects = channels == out and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x):
        return self.layers(x) + x if self.connects else self.layers(x)


def torchvision_net() -> nn.Module:
    """A small network in torchvision's layout; BN epsilon 1e-5 is PyTorch's own."""
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4),
        nn.Sequential(TorchvisionBlock(4, 6, 5, 2, 3), TorchvisionBlock(6, 6, 5, 1, 3)),
        nn.Sequential(TorchvisionBlock(6, 8, 3, 1, 6)),
        nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
    )  # fmt: skip
    net = nn.Module()
    net.layers, net.classifier = layers, nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 5))
    net.forward = lambda x: net.classifier(net.layers(x).mean([2, 3]))
    return net


SMALL = Architecture.from_blocks(
    ["r1_k3_s11_e1_i8_o4_noskip", "r2_k5_s22_e3_i4_o6", "r1_k3_s11_e6_i6_o8"],
    stem=8, head=16, resolution=33, classes=5, padding="same", name="small",
)  # fmt: skip


class TimmBlock(nn.Module):
    """timm's inverted bottleneck with squeeze-and-excite, by its names, written anew."""

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int, expansion: int, reduced: int
    ) -> None:
        super().__init__()
        inner = channels * expansion
        self.connects = channels == out and stride == 1
        self.conv_pw, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv_dw = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.se = nn.Module()
        self.se.conv_reduce, self.se.conv_expand = nn.Conv2d(inner, reduced, 1), nn.Conv2d(reduced, inner, 1)
        self.conv_pwl, self.bn3 = nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)

    def forward(self, x):
        y = self.bn1(self.conv_pw(x)).relu()
        y = self.bn2(self.conv_dw(y)).relu()
        y = y * self.se.conv_expand(self.se.conv_reduce(y.mean((2, 3), keepdim=True)).relu()).sigmoid()
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.connects else y


class TimmFirst(nn.Module):
    """timm's depthwise-separable block; it connects where shapes allow."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv_pw, self.bn2 = nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.bn2(self.conv_pw(self.bn1(self.conv_dw(x)).relu())) + x


def timm_net() -> nn.Module:
    net = nn.Module()
    net.conv_stem, net.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
    net.blocks = nn.Sequential(
        nn.Sequential(TimmFirst(8)),
        nn.Sequential(TimmBlock(8, 12, 5, 2, 3, 2), TimmBlock(12, 12, 5, 1, 3, 3)),
    )
    net.conv_head, net.bn2 = nn.Conv2d(12, 16, 1, bias=False), nn.BatchNorm2d(16)
    net.classifier = nn.Linear(16, 4)

    def forward(x):
        y = net.blocks(net.bn1(net.conv_stem(x)).relu())
        return net.classifier(net.bn2(net.conv_head(y)).relu().mean((2, 3)))

    net.forward = forward
    return net


TIMM_SMALL = Architecture.from_blocks(  # declares 16 channels after a stem of 8, as mnasnet-small does
    ["r1_k3_s11_e1_i16_o8", "r2_k5_s22_e3_i8_o12_se0.25"], stem=8, head=16, resolution=33, classes=9
)


@pytest.mark.parametrize(
    ("layout", "arch", "make"), [("torchvision", SMALL, torchvision_net), ("timm", TIMM_SMALL, timm_net)]
)
def test_outputs_are_the_reference_networks(layout: str, arch, make, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = make().eval()
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(1e-5, 1.0)  # so small that another epsilon shows
                module.weight.uniform_(0.5, 1.5)
    torch.save({"state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}}, tmp_path / "w.pth")
    found, ours = load_foreign(arch, tmp_path / "w.pth", layout)
    x = torch.randn(2, 3, 33, 33)
    with torch.no_grad():
        expected = theirs.forward(x)
        assert torch.allclose(ours(x), expected, atol=1e-5 * float(expected.abs().max()))
    assert found.classes == expected.shape[1]


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    tensors = torchvision_net().state_dict()
    tensors["extra.weight"] = tensors.pop("layers.8.0.layers.0.weight")
    tensors["classifier.1.weight"] = torch.zeros(5, 3)
    with pytest.raises(InputError) as caught:
        renamed(adapted(SMALL, "torchvision", tensors), tensors, "torchvision", "w.pth")
    said = str(caught.value)
    assert "w.pth does not fit small in the torchvision layout" in said
    assert "missing: layers.8.0.layers.0.weight" in said
    assert "without a place: extra.weight" in said
    assert "shapes: classifier.1.weight is 5×3 and not 5×16" in said
    with pytest.raises(InputError, match=r"missing: .* and \d+ more"):
        renamed(zoo.load("mnasnet-a1"), tensors, "timm", "w.pth")
    with pytest.raises(InputError, match="not made of blocks"):
        adapted(zoo.load("enet-v2"), "timm", tensors)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_files_that_hold_no_state_dict_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.pth"
    for content, words in (
        (pickle.dumps({"a": Evil()}), "holds more than tensors"),
        (b"", "cannot be read|holds more than tensors"),
        (b"PK\x03\x04 cut short", "cannot be read|holds more than tensors"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            read_state_dict(path)
    torch.save({"a": Evil()}, path)
    with pytest.raises(InputError, match="holds more than tensors"):
        read_state_dict(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds 'list'; expected a state dict"):
        read_state_dict(path)
    assert capsys.readouterr().out == ""


def test_weights_of_our_own_from_a_file(tmp_path: Path) -> None:
    net = build(TIMM_SMALL, seed=3)
    torch.save(net.state_dict(), tmp_path / "own.pt")
    arch, again = load_foreign(TIMM_SMALL, tmp_path / "own.pt", "own")
    assert arch == TIMM_SMALL
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
