"""The charts of a page, as Vega-Lite. Data sets are named; whoever shows a chart adds them (`with_data`).

Written as plain mappings, so that a search that rewrites its report imports nothing heavy; a test holds each
against Altair's schema. Colours are names of `nas.report.palette`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Chart = dict[str, Any]
WIDE = 6.0  # times the fastest, from which latencies are shown on a logarithmic axis
ACCURACY = {
    "field": "accuracy",
    "type": "quantitative",
    "title": "accuracy",
    "scale": {"zero": False, "padding": 12},
    "axis": {"format": ".4~p"},
}
LABEL = {"type": "text", "fontSize": 12, "fill": "@soft"}
# Plain scrolling and swiping stay the page's own.
ZOOM = {
    "name": "zoom",
    "select": {
        "type": "interval",
        "zoom": "wheel![event.shiftKey]",
        "translate": "[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!",
    },
    "bind": "scales",
}


def latency_axis(latencies: Sequence[float]) -> dict[str, Any]:
    """The horizontal axis for latencies in milliseconds."""
    scale: dict[str, Any] = {"padding": 12}
    axis: dict[str, Any] = {"format": "~g"}
    if max(latencies) > WIDE * min(latencies):
        scale |= {"type": "log", "nice": False}
        decades = range(-3, 6)
        axis |= {
            "values": [m * 10**d for d in decades for m in (1, 1.5, 2, 3, 4, 5, 6, 7, 8)],
            "labelOverlap": True,
        }
    else:
        scale |= {"zero": False}
    return {"type": "quantitative", "title": "latency, ms", "scale": scale, "axis": axis}


def front(
    latency: dict[str, Any],
    best: int | None,
    target_ms: float | None,
    baselines: Sequence[Mapping[str, Any]],
    summary: str,
) -> Chart:
    """Accuracy over latency of every trial; `target_ms` is None where it lies too far away to be shown.

    Reads the data sets `trials`, `baselines` (number, name, latency, accuracy or null, right) and `pinned` (as trials, and
    `label`). `latency` is the `latency_axis`.
    """
    x = {**latency, "field": "latency"}
    at = {"x": x, "y": ACCURACY}
    points = {
        "transform": [{"filter": "datum.kind !== 'none'"}],
        "params": [ZOOM],
        "mark": {"type": "point", "filled": True, "tooltip": {"content": "data"}, "cursor": "pointer"},
        "encoding": {
            **at,
            "color": _ranged(("@accent", "@other", "@warn")),
            "shape": _ranged(("circle", "circle", "triangle-up")),
            "size": {"condition": {"test": "datum.kind === 'front'", "value": 70}, "value": 42},
        },
    }
    line = {
        "transform": [{"filter": "datum.kind === 'front'"}],
        "mark": {"type": "line", "stroke": "@accent", "strokeWidth": 1.5, "interpolate": "step-after"},
        "encoding": {**at, "order": {"field": "latency", "type": "quantitative"}},
    }
    spread = {
        "transform": [{"filter": "datum.kind === 'front' && isValid(datum.low) && isValid(datum.high)"}],
        "mark": {"type": "rule", "stroke": "@accent", "opacity": 0.6, "strokeWidth": 1.5},
        "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": ACCURACY},
    }
    chosen = {
        "transform": [{"filter": f"datum.trial === {-1 if best is None else best}"}],
        "mark": {
            "type": "point",
            "filled": True,
            "fill": "@best",
            "size": 170,
            "shape": "circle",
            "tooltip": {"content": "data"},
            "cursor": "pointer",
        },
        "encoding": at,
    }
    layers = [line, spread, points, chosen, *_baselines(at, baselines), *_pinned(at)]
    if target_ms is not None:
        layers = [*_target(x, target_ms), *layers]
    return {
        **_sized(summary, 400),
        "data": {"name": "trials"},
        "layer": layers,
    }


def _ranged(values: Sequence[Any]) -> dict[str, Any]:
    """A channel that tells what a trial is: on the front, another, one with a latency in doubt."""
    scale = {"domain": ["front", "other", "doubt"], "range": list(values)}
    return {"field": "kind", "type": "nominal", "scale": scale, "legend": None}


def _target(x: dict[str, Any], target_ms: float) -> list[Chart]:
    at = {"x": {name: value for name, value in x.items() if name != "field"} | {"datum": target_ms}}
    rule = {"type": "rule", "stroke": "@best", "strokeDash": [5, 4], "strokeWidth": 1.5}
    label = {**LABEL, "align": "right", "dx": -4, "baseline": "top", "text": f"target {target_ms:g} ms"}
    return [
        {"data": {"values": [{}]}, "mark": rule, "encoding": at},
        {"data": {"values": [{}]}, "mark": label, "encoding": {**at, "y": {"value": 4}}},
    ]


def _baselines(at: dict[str, Any], baselines: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Diamonds; where only the latency is known, a dotted line.

    Known networks are often close to each other: their names stand at different heights, and to the left of
    those in the right half, where there would be no room.
    """
    data = {"name": "baselines"}
    trained, measured = {"filter": "isValid(datum.accuracy)"}, {"filter": "!isValid(datum.accuracy)"}
    mark = {
        "type": "point",
        "filled": True,
        "fill": "@baseline",
        "shape": "diamond",
        "size": 140,
        "tooltip": {"content": "data"},
    }
    rule = {"type": "rule", "stroke": "@baseline", "strokeDash": [1, 3], "strokeWidth": 1.5}
    layers: list[Chart] = [
        {"data": data, "transform": [measured], "mark": rule, "encoding": {"x": at["x"]}},
        {"data": data, "transform": [trained], "mark": mark, "encoding": at},
    ]
    for number, one in enumerate(baselines):
        text = {**LABEL, "fill": "@baseline", "fontWeight": "bold", "text": one["name"]}
        if one["accuracy"] is None:
            text |= {"angle": 270, "align": "left", "dx": 6 + 95 * number, "dy": -6}
            encoding = {"x": at["x"], "y": {"value": {"expr": "height"}}}
        else:
            left = {"align": "right", "dx": -9} if one["right"] else {"align": "left", "dx": 9}
            text |= {**left, "dy": 13 * number - 13}
            encoding = at
        halo = {
            **text,
            "stroke": "@page",
            "strokeWidth": 4,
            "strokeJoin": "round",
        }  # over points it stays legible
        only = [{"filter": f"datum.number === {number}"}]
        layers += [
            {"data": data, "transform": only, "mark": kind, "encoding": encoding} for kind in (halo, text)
        ]
    return layers


def _pinned(at: dict[str, Any]) -> list[Chart]:
    ring = {"type": "point", "filled": False, "stroke": "@ink", "size": 320, "strokeWidth": 2}
    label = {**LABEL, "fill": "@ink", "fontWeight": "bold", "dx": 12, "dy": -10}
    data = {"name": "pinned"}
    text = {"text": {"field": "label", "type": "nominal"}}
    return [
        {"data": data, "mark": {**ring, "shape": "circle"}, "encoding": at},
        {"data": data, "mark": label, "encoding": {**at, **text}},
    ]


def progress(field: str, title: str, summary: str) -> Chart:
    """The best reward so far, over trials or over time; reads `progress` (`field`, reward, best)."""
    x = {"field": field, "type": "quantitative", "title": title, "scale": {"zero": False, "nice": False}}
    y = {"type": "quantitative", "title": "reward", "scale": {"zero": False}}
    points = {"type": "point", "filled": True, "fill": "@other", "size": 22, "opacity": 0.8}
    line = {"type": "line", "stroke": "@accent", "strokeWidth": 2, "interpolate": "step-after"}
    return {
        **_sized(summary, 220),
        "data": {"name": "progress"},
        "layer": [
            {"mark": points, "encoding": {"x": x, "y": {**y, "field": "reward"}}},
            {"mark": line, "encoding": {"x": x, "y": {**y, "field": "best"}}},
        ],
    }


def curves(summary: str) -> Chart:
    """Accuracy over epochs, a line for each training; reads `curves` (training, epoch, accuracy)."""
    return {
        **_sized(summary, 320),
        "data": {"name": "curves"},
        "mark": {"type": "line", "point": True, "strokeWidth": 2},
        "encoding": {
            "x": {"field": "epoch", "type": "quantitative", "title": "epoch", "axis": {"tickMinStep": 1}},
            "y": {**ACCURACY, "title": "validation accuracy"},
            "color": {
                "field": "training",
                "type": "nominal",
                "title": None,
                "sort": None,
                "scale": {"range": ["@accent", "@best", "@e1", "@baseline", "@other", "@warn"]},
            },
        },
    }


def layer_times(data: str, most_ms: float, colour: str, count: int, summary: str) -> Chart:
    """Milliseconds of each layer as bars; reads the data set `data` (layer, ms, order)."""
    y = {
        "field": "layer",
        "type": "nominal",
        "sort": {"field": "order"},
        "title": None,
        "axis": {"labelLimit": 190, "labelFontSize": 11},
    }
    x = {
        "field": "ms",
        "type": "quantitative",
        "title": "ms",
        "scale": {"domain": [0, most_ms], "nice": True},
    }
    tooltip = [
        {"field": "layer", "type": "nominal"},
        {"field": "ms", "type": "quantitative", "format": ".3f"},
    ]
    return {
        **_sized(summary, 17 * count),
        "data": {"name": data},
        "mark": {"type": "bar", "fill": colour},
        "encoding": {"x": x, "y": y, "tooltip": tooltip},
    }


def fronts(latency: dict[str, Any], runs: Sequence[str], colours: Sequence[str], summary: str) -> Chart:
    """Several runs' fronts over each other; reads `fronts` (run, id, latency, accuracy)."""
    at = {"x": {**latency, "field": "latency"}, "y": ACCURACY}
    colour = {
        "field": "run",
        "type": "nominal",
        "scale": {"domain": list(runs), "range": list(colours)},
        "legend": {"orient": "bottom", "title": None, "columns": 2, "labelLimit": 300},
    }
    shape = {"field": "run", "type": "nominal", "scale": {"domain": list(runs)}, "legend": colour["legend"]}
    line = {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5}
    point = {"type": "point", "filled": True, "size": 70, "tooltip": {"content": "data"}}
    order = {"order": {"field": "latency", "type": "quantitative"}}
    return {
        **_sized(summary, 400),
        "data": {"name": "fronts"},
        "layer": [
            {"mark": line, "encoding": {**at, "color": colour, **order}},
            {"mark": point, "params": [ZOOM], "encoding": {**at, "color": colour, "shape": shape}},
        ],
    }


def hypervolumes(runs: Sequence[str], colours: Sequence[str], summary: str) -> Chart:
    """The hypervolume over trials; reads `hypervolumes` (run, trial, hypervolume)."""
    scale = {"domain": list(runs), "range": list(colours)}
    return {
        **_sized(summary, 220),
        "data": {"name": "hypervolumes"},
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
        "encoding": {
            "x": {"field": "trial", "type": "quantitative", "title": "trial"},
            "y": {
                "field": "hypervolume",
                "type": "quantitative",
                "title": "hypervolume",
                "scale": {"zero": False},
            },
            "color": {"field": "run", "type": "nominal", "scale": scale, "legend": None},
        },
    }


def with_data(chart: Chart, data: Mapping[str, Sequence[Any]]) -> Chart:
    """The chart with the data sets that it names."""
    return {**chart, "datasets": dict(data)}


def config(family: str = "system-ui, sans-serif") -> dict[str, Any]:
    """What all charts have in common; part of none, so that a page holds it once."""
    axis = {
        "labelColor": "@soft",
        "titleColor": "@soft",
        "gridColor": "@line",
        "domainColor": "@line",
        "tickColor": "@line",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    }
    legend = {"labelColor": "@ink", "labelFontSize": 12}
    return {
        "background": "transparent",
        "mark": {"aria": False},  # a page names each chart as a whole, and has its numbers as tables
        "font": family,
        "axis": axis,
        "legend": legend,
        "view": {"stroke": None},
    }


def _sized(summary: str, height: int) -> Chart:
    return {
        "description": summary,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }
