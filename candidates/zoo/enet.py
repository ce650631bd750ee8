"""ENet as an image classifier (the encoder of arXiv 1606.02147, as it was trained on ImageNet in Torch7)."""

from __future__ import annotations

from collections.abc import Iterator

from candidates.baseline import Baseline
from candidates.layers import Bottleneck, Layer

RESOLUTION, CLASSES = 224, 1000
INNER = 4  # a bottleneck works in a quarter of its output channels
FIRST_DROPOUT, DROPOUT = 0.01, 0.1  # the paper's, in the first stage and after it
# kernel, dilation, asymmetric: section 2 of the paper's table 1, and its section 3
SEQUENCE = (
    (3, 1, False), (3, 2, False), (5, 1, True), (3, 4, False),
    (3, 1, False), (3, 8, False), (5, 1, True), (3, 16, False),
)  # fmt: skip


def enet_v2() -> Baseline:
    """Two sequences of eight bottlenecks at 28×28 and 14×14, 128 channels in all of them."""
    return _network("enet-v2", [*_start(), *_sequence(128, 128), *_sequence(128, 128)])


def enet_v3() -> Baseline:
    """V2 with the first sequence ending in 256 channels and the second in 512."""
    return _network("enet-v3", [*_start(), *_sequence(128, 256), *_sequence(256, 512)])


def enet_v7() -> Baseline:
    """Regular bottlenecks alone: five after each halving, with 64, 128, 256 and 512 channels."""
    layers: list[Layer] = [_initial()]
    channels = 16
    for out in (64, 128, 256, 512):
        dropout = FIRST_DROPOUT if out == 64 else DROPOUT
        layers += [_bottleneck(channels, out, halves=True, dropout=dropout), *_regular(out, 5, dropout)]
        channels = out
    return _network("enet-v7", layers)


def _start() -> Iterator[Layer]:
    """To 128 channels at an eighth of the size."""
    yield _initial()
    yield _bottleneck(16, 64, halves=True, dropout=FIRST_DROPOUT)
    yield from _regular(64, 4, FIRST_DROPOUT)
    yield _bottleneck(64, 128, halves=True)


def _sequence(channels: int, last: int) -> Iterator[Layer]:
    """Regular, dilated and asymmetric bottlenecks, the last one to `last` channels; then half the size."""
    for position, (kernel, dilation, asymmetric) in enumerate(SEQUENCE):
        out = last if position == len(SEQUENCE) - 1 else channels
        yield _bottleneck(channels, out, kernel=kernel, dilation=dilation, asymmetric=asymmetric)
    yield _bottleneck(last, last, halves=True)


def _regular(channels: int, count: int, dropout: float) -> Iterator[Layer]:
    for _ in range(count):
        yield _bottleneck(channels, channels, dropout=dropout)


def _initial() -> Layer:
    """13 channels of a 3×3 convolution beside the max-pooled image."""
    return Layer("enet_initial", 3, 16, 3, (2, 2), "prelu")


def _bottleneck(
    channels: int,
    out: int,
    *,
    halves: bool = False,
    kernel: int = 3,
    dilation: int = 1,
    asymmetric: bool = False,
    dropout: float = DROPOUT,
) -> Bottleneck:
    return Bottleneck(
        "enet_bottleneck",
        channels,
        out,
        kernel,
        (2, 2) if halves else (1, 1),
        "prelu",
        expanded=out // INNER,
        dilation=dilation,
        asymmetric=asymmetric,
        dropout=dropout,
    )


def _network(name: str, layers: list[Layer]) -> Baseline:
    classifier = Layer("classifier", layers[-1].out_channels, CLASSES)
    return Baseline((*layers, classifier), RESOLUTION, name=name)
