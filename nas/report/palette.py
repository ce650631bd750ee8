"""Colours, in one place for the page's style sheet, its charts and the pictures.

Text has a contrast of at least 4.5 to 1 against the page, what is drawn at least 3 to 1 (WCAG 2.2, 1.4.3 and
1.4.11); a test computes both. A chart names a colour as `@accent`, which becomes the theme's.
"""

from __future__ import annotations

import json
from typing import Any

LIGHT = {
    "ink": "#1b1f24",
    "soft": "#57606a",
    "page": "#ffffff",
    "panel": "#f6f8fa",
    "line": "#d0d7de",
    "accent": "#0550ae",
    "best": "#b35900",
    "other": "#768390",
    "baseline": "#8250df",
    "warn": "#9a3412",
    "conv": "#8250df",
    "e1": "#1a7f64",
    "e3": "#2d7fdb",
    "e6": "#0550ae",
}
DARK = {
    "ink": "#e6edf3",
    "soft": "#9da7b3",
    "page": "#0d1117",
    "panel": "#161b22",
    "line": "#30363d",
    "accent": "#6cb6ff",
    "best": "#f0a04b",
    "other": "#768390",
    "baseline": "#b794f6",
    "warn": "#ffa657",
    "conv": "#b794f6",
    "e1": "#4cc9a4",
    "e3": "#8ecbff",
    "e6": "#4493f8",
}
SERIES = ("accent", "best", "baseline", "e1", "warn", "other")
"""The colours of several runs, in their order."""


def style(theme: dict[str, str]) -> str:
    """A theme as CSS variables."""
    return " ".join(f"--{name}: {colour};" for name, colour in theme.items())


def on_paper() -> str:
    """Rules that give a chart drawn in the dark theme the light one's colours, for printing."""
    changed = {dark: LIGHT[name] for name, dark in DARK.items() if dark != LIGHT[name]}
    return " ".join(
        f'.chart [{what}="{dark}"] {{ {what}: {light}; }}'
        for dark, light in changed.items()
        for what in ("fill", "stroke")
    )


def coloured(chart: dict[str, Any], theme: dict[str, str] = LIGHT) -> dict[str, Any]:
    """A chart with `@name` replaced by the theme's colours."""
    text = json.dumps(chart)
    for name, colour in theme.items():
        text = text.replace(f'"@{name}"', f'"{colour}"')
    found: dict[str, Any] = json.loads(text)
    return found
