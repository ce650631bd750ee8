"""Axes of a plot as SVG: round ticks, and numbers turned into positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 48


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, drawn between the pixels `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: list[float], start: float, end: float) -> Axis:
        """An axis that holds `values` with some room at both ends."""
        low, high = min(values), max(values)
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, wanted: int = 6) -> Iterator[float]:
        """Round values within the axis."""
        raw = (self.high - self.low) / wanted
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = min((m * magnitude for m in (1, 2, 2.5, 5, 10)), key=lambda step: abs(step - raw))
        value = math.ceil(self.low / step) * step
        while value <= self.high + step * 1e-9:
            yield round(value, 10)
            value += step


def text(x: float, y: float, content: str, anchor: str = "middle", extra: str = "") -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(content)}</text>'


def titled(shape: str, title: str) -> str:
    """A shape with a tooltip; `shape` is an SVG element without its closing `/>`."""
    name = shape[1 : shape.index(" ")]
    return f"{shape}><title>{escape(title)}</title></{name}>"


def frame(
    x: Axis, y: Axis, x_label: str, y_label: str, y_text: Callable[[float], str], body: str, summary: str
) -> str:
    """A whole plot: grid, labels and `body`; `summary` describes it for those who do not see it."""
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label={quoteattr(summary)} class="plot">']
    for tick in x.ticks():
        parts.append(
            f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
        parts.append(text(x(tick), HEIGHT - BOTTOM + 18, f"{tick:g}"))
    for tick in y.ticks():
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(text(LEFT - 8, y(tick) + 4, y_text(tick), "end"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(text(14, middle, y_label, extra=f'transform="rotate(-90 14 {middle:.1f})"'))
    return "\n".join([*parts, body, "</svg>"])


def x_axis(values: list[float]) -> Axis:
    """The horizontal axis of a plot."""
    return Axis.around(values, LEFT, WIDTH - RIGHT)


def y_axis(values: list[float]) -> Axis:
    """The vertical axis of a plot."""
    return Axis.around(values, HEIGHT - BOTTOM, TOP)
