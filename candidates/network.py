"""The PyTorch network, built from a plain description of its layers.

This file needs torch alone: an exported model carries a copy of it. Input N × C × H × W float32, normalised;
output N × classes logits.

The layers follow the MnasNet reference (arXiv 1807.11626): an inverted bottleneck is a 1×1 expansion, a
depthwise convolution that has the stride, squeeze-and-excite, and a linear 1×1 projection.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hswish": nn.Hardswish,
    "swish": nn.SiLU,
    "prelu": nn.PReLU,
}
BN_MOMENTUM = 0.01  # the reference's 0.99 in TensorFlow's sense


class Conv(nn.Module):
    """Convolution without bias, batch normalisation, activation.

    Padded so that the size is kept up to the stride; not at all where `padded` is false.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        *,
        kernel: int | tuple[int, int] = 1,
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
        dilation: int = 1,
        activation: str = "none",
        padded: bool = True,
        padding: str = "symmetric",
        bn_epsilon: float = 1e-3,
    ) -> None:
        super().__init__()
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        # TensorFlow's 'same' differs from kernel // 2 only where there is a stride.
        self.pads_end = padded and padding == "same" and stride != (1, 1)
        reach = dilation if padded and not self.pads_end else 0
        pads = (reach * (kernel[0] // 2), reach * (kernel[1] // 2))
        self.conv = nn.Conv2d(*channels, kernel, stride, pads, dilation, groups, bias=False)
        self.norm = nn.BatchNorm2d(channels[1], eps=bn_epsilon, momentum=BN_MOMENTUM)
        self.activation = _activation(activation, channels[1])
        if isinstance(self.activation, nn.ReLU | nn.ReLU6 | nn.Hardswish | nn.SiLU):
            self.activation.inplace = True

    def forward(self, x: Tensor) -> Tensor:
        if self.pads_end:
            x = pad_same(x, self.conv.kernel_size, self.conv.stride)
        y: Tensor = self.activation(self.norm(self.conv(x)))
        return y


def _activation(name: str, channels: int) -> nn.Module:
    return nn.PReLU(channels) if name == "prelu" else ACTIVATIONS[name]()


def pad_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """TensorFlow's 'same' padding: the odd one goes to the bottom and right."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channels' means."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.expand = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class Shortcut(nn.Module):
    """A skip that always connects: average pooling for the stride, a 1×1 projection for the channels."""

    def __init__(self, stride: tuple[int, int], project: Conv | None) -> None:
        super().__init__()
        self.stride = stride
        self.project = project

    def forward(self, x: Tensor) -> Tensor:
        if self.stride != (1, 1):
            x = F.avg_pool2d(x, self.stride, self.stride, ceil_mode=True, count_include_pad=False)
        return x if self.project is None else self.project(x)


class ConvLayer(nn.Module):
    """A plain convolution, with a skip where asked."""

    def __init__(self, spec: dict[str, Any], common: dict[str, Any], dropout: float) -> None:
        super().__init__()
        self.conv = Conv(
            (spec["in_channels"], spec["out_channels"]),
            kernel=spec["kernel"],
            stride=tuple(spec["stride"]),
            activation=spec["activation"],
            **common,
        )
        self.shortcut = _shortcut(spec, common)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y if self.shortcut is None else y + self.shortcut(x)


class InvertedBottleneck(nn.Module):
    """MBConv: expand, depthwise, squeeze-and-excite, linear projection."""

    def __init__(self, spec: dict[str, Any], common: dict[str, Any], dropout: float) -> None:
        super().__init__()
        channels, inner, activation = spec["in_channels"], spec["expanded"], spec["activation"]
        self.expand = Conv((channels, inner), activation=activation, **common) if inner != channels else None
        self.depthwise = Conv(
            (inner, inner),
            kernel=spec["kernel"],
            stride=tuple(spec["stride"]),
            groups=inner,
            activation=activation,
            **common,
        )
        self.squeeze = SqueezeExcite(inner, spec["squeeze"]) if spec["squeeze"] else None
        self.project = Conv((inner, spec["out_channels"]), **common)
        self.shortcut = _shortcut(spec, common)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.depthwise(y)
        if self.squeeze is not None:
            y = self.squeeze(y)
        z: Tensor = self.project(y)
        return z if self.shortcut is None else z + self.shortcut(x)


class Classifier(nn.Module):
    """Global average pooling, dropout, linear."""

    def __init__(self, spec: dict[str, Any], common: dict[str, Any], dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(spec["in_channels"], spec["out_channels"])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(self.dropout(x.mean((2, 3))))
        return y


class ResidualBlock(nn.Module):
    """ResNet's basic block (arXiv 1512.03385): two 3×3 convolutions, the activation after the sum."""

    def __init__(self, spec: dict[str, Any], common: dict[str, Any], dropout: float) -> None:
        super().__init__()
        channels, stride = (spec["in_channels"], spec["out_channels"]), tuple(spec["stride"])
        kernel, activation = spec["kernel"], spec["activation"]
        self.first = Conv(channels, kernel=kernel, stride=stride, activation=activation, **common)
        self.second = Conv((channels[1], channels[1]), kernel=kernel, **common)
        self.shortcut = (
            nn.Identity() if spec["skip"] == "identity" else Conv(channels, stride=stride, **common)
        )
        self.activation = _activation(activation, channels[1])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.second(self.first(x)) + self.shortcut(x))
        return y


class MaxPool(nn.Module):
    """Max-pooling; what does not fill a window is left out."""

    def __init__(self, spec: dict[str, Any], common: dict[str, Any], dropout: float) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(spec["kernel"], tuple(spec["stride"]))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(x)
        return y


class Dense(nn.Module):
    """A fully connected layer over a whole feature map of kernel × kernel, as a convolution; dropout."""

    def __init__(self, spec: dict[str, Any], common: dict[str, Any], dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec["in_channels"], spec["out_channels"], spec["kernel"])
        self.activation = _activation(spec["activation"], spec["out_channels"])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.activation(self.conv(x)))
        return y


class EnetInitial(nn.Module):
    """ENet's first layer (arXiv 1606.02147): a strided convolution beside a max-pool of the image."""

    def __init__(self, spec: dict[str, Any], common: dict[str, Any], dropout: float) -> None:
        super().__init__()
        channels, out = spec["in_channels"], spec["out_channels"]
        self.conv = nn.Conv2d(channels, out - channels, spec["kernel"], 2, spec["kernel"] // 2)
        self.norm = nn.BatchNorm2d(out, eps=common["bn_epsilon"], momentum=BN_MOMENTUM)
        self.activation = _activation(spec["activation"], out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.norm(torch.cat((self.conv(x), F.max_pool2d(x, 2)), 1)))
        return y


class EnetBottleneck(nn.Module):
    """ENet's bottleneck: regular, dilated, asymmetric or downsampling; see the paper's figure 2b.

    Where channels grow, the skip has zeros for the new ones; where the stride is 2, it is max-pooled.
    """

    def __init__(self, spec: dict[str, Any], common: dict[str, Any], dropout: float) -> None:
        super().__init__()
        out, inner, kernel = spec["out_channels"], spec["expanded"], spec["kernel"]
        common = {**common, "activation": spec["activation"]}
        self.strided = spec["stride"][0] == 2
        self.grown = out - spec["in_channels"]
        size, stride = (2, (2, 2)) if self.strided else (1, (1, 1))
        self.reduce = Conv((spec["in_channels"], inner), kernel=size, stride=stride, padded=False, **common)
        self.spread = (
            nn.Conv2d(inner, inner, (kernel, 1), padding=(kernel // 2, 0)) if spec["asymmetric"] else None
        )
        shape = (1, kernel) if spec["asymmetric"] else kernel
        self.conv = Conv((inner, inner), kernel=shape, dilation=spec["dilation"], **common)
        self.expand = Conv((inner, out), **{**common, "activation": "none"})
        self.dropout = nn.Dropout2d(spec["dropout"])
        self.activation = _activation(spec["activation"], out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.reduce(x)
        if self.spread is not None:
            y = self.spread(y)
        y = self.dropout(self.expand(self.conv(y)))
        if self.strided:
            x = F.max_pool2d(x, 2)
        if self.grown:
            x = F.pad(x, (0, 0, 0, 0, 0, self.grown))
        z: Tensor = self.activation(y + x)
        return z


LAYERS: dict[str, Callable[[dict[str, Any], dict[str, Any], float], nn.Module]] = {
    "conv": ConvLayer,
    "mbconv": InvertedBottleneck,
    "classifier": Classifier,
    "residual": ResidualBlock,
    "max_pool": MaxPool,
    "dense": Dense,
    "enet_initial": EnetInitial,
    "enet_bottleneck": EnetBottleneck,
}


def _shortcut(spec: dict[str, Any], common: dict[str, Any]) -> nn.Module | None:
    if spec["skip"] == "none":
        return None
    if spec["skip"] == "identity":
        return nn.Identity()
    channels = (spec["in_channels"], spec["out_channels"])
    return Shortcut(tuple(spec["stride"]), None if channels[0] == channels[1] else Conv(channels, **common))


class Network(nn.Module):
    """An image classifier from `{"padding", "bn_epsilon", "layers": [{"operation", …}, …]}`."""

    def __init__(self, spec: dict[str, Any], dropout: float = 0.2) -> None:
        super().__init__()
        common = {"padding": spec["padding"], "bn_epsilon": spec["bn_epsilon"]}
        layers: list[nn.Module] = []
        for layer in spec["layers"]:
            if layer["operation"] not in LAYERS:
                raise ValueError(f"operation {layer['operation']!r} is unknown to this version of model.py")
            layers.append(LAYERS[layer["operation"]](layer, common, dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """The reference's initialisation.

    Convolutions N(0, sqrt(2 / (k·k·out))), with out = 1 for a depthwise one; linear U(±1/sqrt(classes));
    biases 0; batch normalisation scale 1, shift 0; PReLU slopes 0.25, PyTorch's own.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
        elif isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.out_features)
            module.weight.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, nn.PReLU):
            module.weight.fill_(0.25)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.zero_()


def build_network(spec: dict[str, Any], seed: int = 0, dropout: float = 0.2) -> Network:
    """A network with weights that `seed` alone decides; torch's global random state is left as it was."""
    with torch.device("meta"):
        network = Network(spec, dropout)
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    initialise(network, torch.Generator().manual_seed(seed))
    return network


_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file: a length, a JSON header, raw little-endian values."""
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise ValueError(f"{path} is not a safetensors file, or it is cut short")
    header, values = json.loads(data[8 : 8 + size]), memoryview(data)[8 + size :]
    if not isinstance(header, dict):
        raise ValueError(f"{path} is not a safetensors file: its header is no mapping")
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        if entry["dtype"] not in _TYPES:
            raise ValueError(
                f"{path}: the tensor {name} is {entry['dtype']}; expected one of {', '.join(_TYPES)}"
            )
        kind, shape = _TYPES[entry["dtype"]], entry["shape"]
        if not 0 <= start <= end <= len(values) or end - start != math.prod(shape) * kind.itemsize:
            raise ValueError(f"{path}: the tensor {name} is outside the file, or it is cut short")
        empty = torch.empty(shape, dtype=kind)
        tensors[name] = (
            torch.frombuffer(bytearray(values[start:end]), dtype=kind).reshape(shape)
            if end > start
            else empty
        )
    return tensors


def load(folder: str | Path | None = None) -> Network:
    """The network of an exported folder (by default the one this file lies in), with its weights, in eval mode."""
    where = Path(__file__).parent if folder is None else Path(folder)
    spec = json.loads((where / "architecture.json").read_text(encoding="utf-8"))["spec"]
    network = Network(spec)
    network.load_state_dict(read_safetensors(where / "model.safetensors"))
    return network.eval()
