"""A horizontal bar chart of a profile as SVG: plain text, opened by every browser."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from latency.profiling import NodeTime

ROW, LABEL, BAR, VALUE = 18, 260, 480, 120
COLOURS = ("#3b6ea5", "#7fa8cf")


def svg(title: str, bars: Sequence[NodeTime]) -> str:
    """One bar for each entry, as long as its share; entries in their order."""
    width, height = LABEL + BAR + VALUE, ROW * (len(bars) + 2)
    longest = max(bar.ms for bar in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="8" y="{ROW - 4}" font-weight="bold">{escape(title)}</text>',
    ]
    for index, bar in enumerate(bars):
        y = ROW * (index + 1) + 6
        length = max(1.0, BAR * bar.ms / longest)
        lines += [
            f'<text x="{LABEL - 6}" y="{y + 11}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{ROW - 4}" '
            f'fill="{COLOURS[index % 2]}"/>',
            f'<text x="{LABEL + length + 4:.1f}" y="{y + 11}">{bar.ms:.3f} ms, {bar.share:.1%}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
