"""Networks for small grayscale images (Fashion-MNIST's 28×28): a VGG, a ResNet, a reduced ResNet-18.

The reduced MobileNetV2 that was compared with them is made of blocks and lies here as JSON.
"""

from __future__ import annotations

from candidates.baseline import Baseline
from candidates.layers import Layer

RESOLUTION, CHANNELS, CLASSES = 28, 1, 10
KERNEL = 3


def vgg_like() -> Baseline:
    """Seven 3×3 convolutions between three max-pools, then two fully connected layers: 6 M parameters."""
    layers: list[Layer] = []
    channels = CHANNELS
    for out, count in ((64, 2), (128, 2), (256, 3)):
        for _ in range(count):
            layers.append(_conv(channels, out))
            channels = out
        layers.append(_max_pool(channels))
    layers.append(Layer("dense", 256, 1280, 3, activation="relu"))  # the map is 3×3 by now
    layers.append(Layer("dense", 1280, 1024, 1, activation="relu"))
    return _network("vgg-like", layers)


def resnet_like() -> Baseline:
    """Max-pools between convolutions and two residual blocks, an unstrided stem: 2 M parameters."""
    layers = [
        _conv(CHANNELS, 64),
        _conv(64, 128),
        _max_pool(128),
        _residual(128, 128),
        _conv(128, 256),
        _max_pool(256),
        _residual(256, 256),
        Layer("conv", 256, 512, 1, activation="relu"),
    ]
    return _network("resnet-like", layers)


def resnet_18_reduced() -> Baseline:
    """ResNet-18 (arXiv 1512.03385) without its last stage, 56 instead of 64 channels, an unstrided 3×3 stem."""
    layers = [_conv(CHANNELS, 56)]
    channels = 56
    for out in (56, 112, 224):
        layers += [_residual(channels, out, stride=1 if out == 56 else 2), _residual(out, out)]
        channels = out
    return _network("resnet-18-reduced", layers)


def _conv(channels: int, out: int) -> Layer:
    return Layer("conv", channels, out, KERNEL, activation="relu")


def _max_pool(channels: int) -> Layer:
    return Layer("max_pool", channels, channels, 2, (2, 2))


def _residual(channels: int, out: int, stride: int = 1) -> Layer:
    skip = "identity" if channels == out and stride == 1 else "project"
    return Layer("residual", channels, out, KERNEL, (stride, stride), "relu", skip=skip)


def _network(name: str, layers: list[Layer]) -> Baseline:
    return Baseline((*layers, Layer("classifier", layers[-1].out_channels, CLASSES)), RESOLUTION, name=name)
