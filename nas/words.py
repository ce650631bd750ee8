"""Numbers and architectures in words, for pages and terminals."""

from __future__ import annotations

from candidates import Block

SKIPS = {"identity": "identity skip", "none": "no skip", "pool": "pooling skip"}


def operation_name(block: Block) -> str:
    """The operation of a block's layers."""
    if block.operation == "conv":
        return "convolution"
    return "depthwise-separable" if block.expansion == 1 else f"MBConv{block.expansion}"


def block_words(block: Block) -> str:
    """A block in words."""
    words = [
        f"{block.repeats} × {operation_name(block)} {block.kernel}×{block.kernel}, {block.out_channels} channels"
    ]
    if block.stride != (1, 1):
        words.append(f"stride {block.stride[0]}")
    if block.se:
        words.append(f"squeeze-and-excite {block.se:g}")
    words.append(SKIPS[block.skip])
    if block.activation != "relu":
        words.append(block.activation)
    return ", ".join(words)


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def figures(value: float) -> str:
    """Three figures, and all of those before the point."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def counted(number: int, word: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
