"""TensorFlow's rounding of channels under a width multiplier."""

from __future__ import annotations

MOST_WIDTH = 1000.0  # beyond which a width multiplier is a slip


def round_channels(channels: int, width: float, divisor: int = 8, min_depth: int | None = None) -> int:
    """Channels × width, to the nearest multiple of `divisor`, never more than 10 % below the exact value.

    A width of 1.0 leaves the channels as they are, without rounding (MnasNet reference, `round_filters`).
    """
    if width == 1.0:
        return channels
    exact = channels * width
    rounded = max(min_depth or divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded
