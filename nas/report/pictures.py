"""A run's charts and its best architecture as SVG and PNG, for slides; no browser is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from candidates.files import write_bytes, write_text
from nas.report import charts
from nas.report.drawing import draw
from nas.report.page import run_charts
from nas.report.palette import LIGHT, coloured
from nas.report.run_data import RunData, read_run
from nas.report.script import VEGA_LITE
from nas.report.trial_table import records

FOLDER = "pictures"
WIDTH = 860  # pixels; a PNG has twice as many
FONT = "Helvetica, Arial, Liberation Sans, sans-serif"


def write_pictures(folder: str | Path) -> list[Path]:
    """Write `pictures/` into a run's folder; return the files. InputError where it is not a run."""
    data = read_run(folder)
    out = data.run.path / FOLDER
    out.mkdir(exist_ok=True)
    written = []
    for name, svg in pictures(data).items():
        written += write_picture(out / name, svg)
    return written


def pictures(data: RunData) -> dict[str, str]:
    """SVG by name: the charts, and the best architecture."""
    trials = records(data)
    found = {}
    for name, (chart, sets) in run_charts(data).items():
        found[name] = chart_svg(chart, {"trials": trials, **sets} if name == "front" else sets)
    if data.best is not None:
        found["architecture"] = drawing_svg(draw(data.best[0].arch()))
    return found


def chart_svg(chart: charts.Chart, data: dict[str, list[Any]]) -> str:
    """A chart as SVG in the light theme."""
    import vl_convert

    whole = {**charts.with_data(chart, data), "width": WIDTH, "config": charts.config(FONT)}
    whole["config"]["background"] = "@page"
    return vl_convert.vegalite_to_svg(coloured(whole), vl_version=VEGA_LITE)


def drawing_svg(svg: str) -> str:
    """A drawing with the colours that a page would give it by its style sheet."""
    colours = {"stem": "other", "conv": "conv", "e1": "e1", "e3": "e3", "e6": "e6", "se": "best"}
    rules = [f".{name} {{ fill: {LIGHT[colour]} }}" for name, colour in colours.items()]
    rules += [
        f"text {{ font: 11px {FONT}; fill: {LIGHT['soft']} }} .name {{ font-weight: bold; fill: {LIGHT['ink']} }}"
    ]
    end = svg.index(">") + 1
    background = f'<rect width="100%" height="100%" fill="{LIGHT["page"]}"/>'
    return f"{svg[:end]}<style>{' '.join(rules)}</style>{background}{svg[end:]}"


def write_picture(path: Path, svg: str) -> list[Path]:
    """Write a picture as .svg and as .png; return the files."""
    import vl_convert

    files = [path.with_suffix(".svg"), path.with_suffix(".png")]
    write_text(files[0], svg)
    write_bytes(files[1], vl_convert.svg_to_png(svg, scale=2.0))
    return files
