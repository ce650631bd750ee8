"""An architecture drawn block by block: height is the feature map's size, depth of colour the expansion."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from candidates import Architecture, Block
from candidates.operations import operations
from nas.report.axes import text, titled

WIDTH, HEIGHT, GAP = 720, 170, 6
TALLEST = 100


def draw(arch: Architecture) -> str:
    """The architecture as SVG: a bar for the stem, each layer of each block, and the head."""
    sizes = _output_sizes(arch)
    columns: list[tuple[str, str, int, int, str]] = [
        ("stem", "stem", sizes[0], arch.stem, "conv 3×3, the stem")
    ]
    layer = 1
    for number, block in enumerate(arch.blocks, start=1):
        for repeat in range(block.repeats):
            kind = "conv" if block.operation == "conv" else f"e{min(block.expansion, 6)}"
            label = f"{number}" if repeat == 0 else ""
            columns.append(
                (
                    kind,
                    label,
                    sizes[layer],
                    block.out_channels,
                    f"block {number}, layer {repeat + 1}: {block_words(block)}",
                )
            )
            layer += 1
    columns.append(("stem", "head", sizes[layer], arch.head, "conv 1×1, the head"))
    width = (WIDTH - GAP * (len(columns) - 1)) / len(columns)
    largest = max(size for _, _, size, _, _ in columns)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="drawing" aria-label={quoteattr(_summary(arch))}>'
    ]
    for index, (kind, label, size, channels, title) in enumerate(columns):
        x = index * (width + GAP)
        # The square root keeps the last, small feature maps visible beside the first.
        height = max(6.0, TALLEST * (size / largest) ** 0.5)
        top = 20 + (TALLEST - height) / 2
        parts.append(
            titled(
                f'<rect class="{kind}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"',
                f"{title}; {size}×{size}×{channels}",
            )
        )
        if "squeeze" in title:
            parts.append(f'<circle class="se" cx="{x + width / 2:.1f}" cy="{top - 6:.1f}" r="3"/>')
        if label:
            parts.append(text(x + width / 2, 138, label))
            parts.append(text(x + width / 2, 154, f"{channels}", extra='class="small"'))
            parts.append(text(x + width / 2, 167, f"{size}²", extra='class="small"'))
    return "\n".join([*parts, "</svg>"])


def block_words(block: Block) -> str:
    """A block in words."""
    name = "convolution" if block.operation == "conv" else (
        "depthwise-separable" if block.expansion == 1 else f"MBConv{block.expansion}"
    )  # fmt: skip
    words = [f"{block.repeats} × {name} {block.kernel}×{block.kernel}, {block.out_channels} channels"]
    if block.stride != (1, 1):
        words.append(f"stride {block.stride[0]}")
    if block.se:
        words.append(f"squeeze-and-excite {block.se:g}")
    words.append({"identity": "identity skip", "none": "no skip", "pool": "pooling skip"}[block.skip])
    if block.activation != "relu":
        words.append(block.activation)
    return ", ".join(words)


def _output_sizes(arch: Architecture) -> list[int]:
    """The feature map's side after each layer."""
    sizes: dict[int, int] = {}
    for op in operations(arch.layers, arch.resolution):
        sizes[op.layer] = op.out_size[0]
    return [sizes[index] for index in range(len(arch.layers))]


def _summary(arch: Architecture) -> str:
    return f"{len(arch.blocks)} blocks: " + "; ".join(block_words(block) for block in arch.blocks)
