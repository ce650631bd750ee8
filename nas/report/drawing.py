"""An architecture drawn to scale as SVG: one rectangle for each layer, from the stem to the head.

A rectangle's height is its feature map's side and its width the square root of its channels, on one scale
for all drawings that stand together; the colour is the expansion, a dot squeeze-and-excite. Below each block:
its operation and kernel, channels and map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from candidates import Architecture, Block
from candidates.operations import operations
from nas.words import block_words, operation_name

WIDTH, TALLEST, GAP = 960.0, 130.0, 2.0
TEXT_WIDTH, BETWEEN = 52.0, 10.0  # what a block's labels need, and the space between two blocks
BASE = TALLEST + 30
HEIGHT = BASE + 66
LEAST = 3.0  # pixels, so that a 1×1 map is still seen


@dataclass(frozen=True)
class Bar:
    """One layer: the side of its feature map and its channels."""

    side: int
    channels: int
    title: str


@dataclass(frozen=True)
class Group:
    """The layers of a block, with the labels below them."""

    kind: str
    bars: tuple[Bar, ...]
    labels: tuple[str, ...]
    se: bool = False


@dataclass(frozen=True)
class Scale:
    """Pixels for each pixel of a feature map, and for each square root of a channel."""

    height: float
    width: float


def draw(arch: Architecture, scale: Scale | None = None) -> str:
    """The architecture as SVG; without `scale` as large as fits."""
    groups = _groups(arch)
    scale = scale or scale_of(arch)
    parts: list[str] = []
    x = 0.0
    for group in groups:
        slot = _slot(group, scale)
        parts += _group(group, x, slot, scale)
        x += slot + BETWEEN
    width = max(x - BETWEEN, 1.0)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {HEIGHT:.0f}" width="{width:.0f}" height="{HEIGHT:.0f}"'
            f' role="img" class="drawing" aria-label={quoteattr(summary(arch))}>',
            *parts,
            "</svg>",
        ]
    )


def scale_of(*archs: Architecture) -> Scale:
    """The largest scale at which every one of them fits."""
    drawn = [_groups(arch) for arch in archs]
    height = TALLEST / max(bar.side for groups in drawn for group in groups for bar in group.bars)
    width = 8.0
    while width > 0.5 and max(_width(groups, Scale(height, width)) for groups in drawn) > WIDTH:
        width *= 0.97
    return Scale(height, width)


def summary(arch: Architecture) -> str:
    """The drawing in words."""
    return f"{len(arch.blocks)} blocks: " + "; ".join(block_words(block) for block in arch.blocks)


def _width(groups: list[Group], scale: Scale) -> float:
    return sum(_slot(group, scale) + BETWEEN for group in groups) - BETWEEN


def _slot(group: Group, scale: Scale) -> float:
    bars = sum(_bar_width(bar, scale) + GAP for bar in group.bars) - GAP
    return max(bars, TEXT_WIDTH)


def _bar_width(bar: Bar, scale: Scale) -> float:
    return max(LEAST, scale.width * math.sqrt(bar.channels))


def _group(group: Group, x: float, slot: float, scale: Scale) -> list[str]:
    parts = []
    middle = x + slot / 2
    at = middle - (sum(_bar_width(bar, scale) + GAP for bar in group.bars) - GAP) / 2
    for bar in group.bars:
        width, height = _bar_width(bar, scale), max(LEAST, scale.height * bar.side)
        parts.append(
            f'<rect class="{group.kind}" x="{at:.1f}" y="{BASE - height:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"><title>{escape(bar.title)}</title></rect>'
        )
        if group.se:
            parts.append(f'<circle class="se" cx="{at + width / 2:.1f}" cy="{BASE - height - 7:.1f}" r="3"/>')
        at += width + GAP
    for line, label in enumerate(group.labels):
        style = ' class="name"' if line == 0 else ""
        parts.append(
            f'<text{style} x="{middle:.1f}" y="{BASE + 16 + 15 * line:.1f}" text-anchor="middle">{escape(label)}</text>'
        )
    return parts


def _groups(arch: Architecture) -> list[Group]:
    sides = _output_sides(arch)
    stem = Bar(sides[0], arch.stem, f"stem: convolution 3×3, {_shape(sides[0], arch.stem)}")
    groups = [Group("stem", (stem,), ("stem", "3×3", f"{arch.stem} ch", f"{sides[0]}²"))]
    layer = 1
    for number, block in enumerate(arch.blocks, start=1):
        bars = []
        for repeat in range(block.repeats):
            title = f"block {number}, layer {repeat + 1}: {block_words(block)}; {_shape(sides[layer], block.out_channels)}"
            bars.append(Bar(sides[layer], block.out_channels, title))
            layer += 1
        groups.append(_block_group(number, block, tuple(bars)))
    head = Bar(sides[layer], arch.head, f"head: convolution 1×1, {_shape(sides[layer], arch.head)}")
    return [*groups, Group("stem", (head,), ("head", "1×1", f"{arch.head} ch", f"{sides[layer]}²"))]


def _block_group(number: int, block: Block, bars: tuple[Bar, ...]) -> Group:
    short = {"convolution": "conv", "depthwise-separable": "DS"}
    name = operation_name(block)
    labels = (
        f"{number}",
        f"{short.get(name, name.replace('Conv', ''))} {block.kernel}×{block.kernel}",
        f"{block.out_channels} ch",
        f"{bars[-1].side}²",
    )
    return Group(kind_of(block), bars, labels, bool(block.se))


def kind_of(block: Block) -> str:
    """The colour's name for a block's operation."""
    if block.operation == "conv":
        return "conv"
    return "e1" if block.expansion == 1 else "e3" if block.expansion < 5 else "e6"


def _shape(side: int, channels: int) -> str:
    return f"{side}×{side}×{channels}"


def _output_sides(arch: Architecture) -> list[int]:
    """The feature map's side after each layer."""
    sides: dict[int, int] = {}
    for op in operations(arch.layers, arch.resolution):
        sides[op.layer] = op.out_size[0]
    return [sides[index] for index in range(len(arch.layers))]
