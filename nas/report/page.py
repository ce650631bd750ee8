"""The report's page, from a run's folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from candidates import Architecture, zoo
from candidates.errors import InputError
from candidates.files import write_text
from nas.progress import milliseconds, outcome, percent, times
from nas.report import charts
from nas.report.drawing import draw, scale_of
from nas.report.importance import stories
from nas.report.palette import DARK, LIGHT, on_paper, style
from nas.report.run_data import RunData, RunReader, read_run
from nas.report.script import vega_script
from nas.report.trial_table import COLUMNS, trial_rows
from nas.report.verdict import counts, notes, time_spent, verdict, warnings
from nas.trials import Row, ranked
from nas.words import block_words

if TYPE_CHECKING:
    from jinja2 import Environment

    from candidates import Architecture

Named = tuple[charts.Chart, dict[str, list[Any]]]
"""A chart with its data sets."""
BESIDE = "mnasnet-a1"
FIRST_ROWS = 50  # trials in the table before the page's script takes it over, for readers without one
NAME = "report.html"
SHARE = 20  # times longer than writing took passes until the report is written again


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into a run's folder and return its path; InputError where it is not a run."""
    return _write(read_run(folder))


class Rewriter:
    """Writes a run's report while it runs: at most every `seconds`, and taking little of the search's time."""

    def __init__(self, folder: str | Path, seconds: float = 30.0) -> None:
        self._folder, self._seconds = folder, seconds
        self._next = time.monotonic() + seconds
        self._reader: RunReader | None = None

    def write_if_due(self) -> bool:
        """Write the report unless it is too early; whether it was written."""
        start = time.monotonic()
        if start < self._next:
            return False
        self._reader = self._reader or RunReader(self._folder)
        _write(self._reader.read())
        took = time.monotonic() - start
        self._next = time.monotonic() + max(self._seconds, SHARE * took)
        return True

    def close(self) -> None:
        """Close the run's database."""
        if self._reader is not None:
            self._reader.close()


def _write(data: RunData) -> Path:
    path = data.run.path / NAME
    write_text(path, render(data))
    return path


def render(data: RunData) -> str:
    """The page as text."""
    settings = data.run.settings
    best = data.best[0] if data.best else None
    profile = data.layers.get(str(best.id)) if best else None
    found = run_charts(data)
    page = {
        "columns": COLUMNS,
        "trials": trial_rows(data),
        "charts": {name: chart for name, (chart, _) in found.items()},
        "data": {name: rows for _, sets in found.values() for name, rows in sets.items()},
    }
    return (
        environment()
        .get_template("report.html")
        .render(
            run=data.run.path.name,
            settings=settings,
            record=data.run.record,
            data=data,
            best=best,
            verdict=verdict(data),
            notes=notes(data),
            warnings=warnings(data),
            charts={name: chart["description"] for name, (chart, _) in found.items()},
            target_hidden=not target_shown(data),
            drawings=_drawings(data, best),
            layers_source=profile.source if profile else None,
            stories=_by_block(data),
            spent=time_spent(data),
            counts=counts(data.rows),
            first_rows=ranked(data.rows)[:FIRST_ROWS],
            conditions=_conditions(best),
            page=page,
            config=charts.config(),
        )
    )


def environment() -> Environment:
    """The templates, with everything escaped that they are given, and what they share."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    found = Environment(
        loader=PackageLoader("nas"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": percent, "ms": milliseconds, "times": times, "outcome": outcome}
    found.filters |= {"kept": lambda text: text.replace(" %", "\u00a0%").replace(" ms", "\u00a0ms")}
    found.filters |= {"block_words": block_words, "script_json": lambda value: Markup(script_json(value))}
    # The package's own texts are not escaped: they are style sheet and scripts.
    found.globals |= {"light": Markup(style(LIGHT)), "dark": Markup(style(DARK))}
    found.globals |= {"on_paper": Markup(on_paper())}
    found.globals |= {"themes": {"light": LIGHT, "dark": DARK}, "vega": Markup(vega_script())}
    return found


def script_json(value: object) -> str:
    """JSON that ends no script element, whatever it holds."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def run_charts(data: RunData) -> dict[str, Named]:
    """A run's charts by name, each with its data sets but for the trials."""
    shown = [row for row in data.evaluated if row.latency_ms]
    if not shown:
        return {}
    best = data.best[0] if data.best else None
    middle = median(row.latency_ms or 0.0 for row in shown)
    baselines = [
        {
            "number": number,
            "name": b.name,
            "latency": b.latency_ms,
            "accuracy": b.accuracy,
            "right": b.latency_ms > middle,
            **_spread(b.candidate.measurement),
        }
        for number, b in enumerate(data.baselines)
    ]
    target = data.run.settings.target_ms if target_shown(data) else None
    summary = (
        f"Accuracy over latency of {len(shown)} candidates; {len(data.front)} are on the front, from "
        f"{_corner(data.front[0])} to {_corner(data.front[-1])}."
    )
    times_shown = [*(row.latency_ms or 0.0 for row in shown), *(b.latency_ms for b in data.baselines)]
    axis = charts.latency_axis([*times_shown, *([] if target is None else [target])])
    found: dict[str, Named] = {
        "front": (
            charts.front(axis, best.number if best else None, target, baselines, summary),
            {"baselines": baselines, "pinned": []},
        )
    }
    return {**found, **_progress_charts(data, shown), **_layer_charts(data, best)}


def target_shown(data: RunData) -> bool:
    """Whether the target is in the chart: one far away would squeeze all else into a corner."""
    slowest = max((row.latency_ms or 0.0 for row in data.evaluated), default=0.0)
    return 2 * slowest >= data.run.settings.target_ms


def _corner(row: Row) -> str:
    return f"{percent(row.accuracy)} in {milliseconds(row.latency_ms)}"


def _spread(measurement: Mapping[str, Any] | None) -> dict[str, Any]:
    known = measurement or {}
    return {"low": known.get("p5_ms"), "high": known.get("p95_ms")}


def _progress_charts(data: RunData, shown: list[Row]) -> dict[str, Named]:
    points: list[dict[str, float | int | None]] = []
    reached = float("-inf")
    for row in shown:
        reached = max(reached, row.reward or 0.0)
        points.append(
            {"trial": row.number, "hours": data.hours(row), "reward": row.reward, "best": round(reached, 6)}
        )
    finished = [dict(point) for point in points if point["hours"] is not None]
    finished.sort(key=lambda point: point["hours"] or 0.0)  # of several at once, a later trial may end first
    rewards = accumulate((point["reward"] or 0.0 for point in finished), max)
    for point, so_far in zip(finished, rewards, strict=True):
        point["best"] = round(so_far, 6)
    longest = max((point["hours"] or 0.0 for point in points), default=0.0)
    unit, factor = ("minutes", 60.0) if longest < 2 else ("hours", 1.0)
    for point in [*points, *finished]:
        hours = point.pop("hours")
        point["time"] = None if hours is None else round(hours * factor, 4)
    summary = f"The best reward so far over {{}}; after {len(shown)} candidates it is {reached:.4f}."
    return {
        "by-trial": (charts.progress("trial", "trial", summary.format("trials")), {"progress": points}),
        "by-time": (charts.progress("time", unit, summary.format(unit)), {"progress": finished}),
    }


def _layer_charts(data: RunData, best: Row | None) -> dict[str, Named]:
    beside = next((b.candidate.architecture for b in data.baselines if b.name == BESIDE), None)
    pairs = [
        ("layers", best.id if best else None, "@best"),
        ("layers-beside", beside and beside.id, "@baseline"),
    ]
    known = [(name, data.layers[str(id)], colour) for name, id, colour in pairs if id in data.layers]
    most = max((ms for _, profile, _ in known for _, ms in profile.layers), default=0.0)
    found = {}
    for name, profile, colour in known:
        rows = [
            {"layer": layer, "ms": round(ms, 5), "order": n} for n, (layer, ms) in enumerate(profile.layers)
        ]
        slowest = max(profile.layers, key=lambda pair: pair[1])
        total = sum(ms for _, ms in profile.layers) or 1.0
        summary = (
            f"Milliseconds of {len(rows)} layers; {slowest[0]} takes the most, "
            f"{slowest[1]:.3g} ms or {slowest[1] / total:.0%}."
        )
        found[name] = (charts.layer_times(name, most, colour, len(rows), summary), {name: rows})
    return found


def _drawings(data: RunData, best: Row | None) -> list[tuple[str, str, Any, Architecture]]:
    """The best, the baseline to hold it against, and the next best, drawn to one scale."""
    from markupsafe import Markup

    if best is None:
        return []
    chosen = best.arch()
    shown = [(f"{best.id}, the best", _facts(best), chosen)]
    kept = {baseline.name: baseline for baseline in data.baselines}.get(BESIDE)
    try:
        other = kept.candidate.architecture if kept else zoo.architecture(BESIDE).for_input(
            chosen.resolution, chosen.channels_in, chosen.classes
        )  # fmt: skip
    except InputError:  # no such input size
        other = None
    if isinstance(other, Architecture):
        facts = f"{milliseconds(kept.latency_ms)}, {percent(kept.accuracy)}" if kept else "not measured here"
        shown.append((f"{BESIDE}, to compare with", facts, other))
    top = [row for row in ranked(data.rows) if row.number != best.number][:4]
    shown += [(str(row.id), _facts(row), row.arch()) for row in top]
    scale = scale_of(*(arch for _, _, arch in shown))
    # A drawing escapes what it holds.
    return [(title, facts, Markup(draw(arch, scale)), arch) for title, facts, arch in shown]


def _facts(row: Row) -> str:
    return f"{percent(row.accuracy)}, {times(row)}, reward {row.reward:.4f}, trial {row.number}"


def _by_block(data: RunData) -> dict[str, Any]:
    """The choices as a table: the columns, and by block a cell for each column or None."""
    found = stories(data)
    columns = list(dict.fromkeys(story.choice for story in found))
    blocks = list(dict.fromkeys(story.block for story in found))
    cells = {(story.block, story.choice): story for story in found}
    return {
        "columns": columns,
        "rows": [(block, [cells.get((block, column)) for column in columns]) for block in blocks],
        "most": max((story.importance for story in found), default=0.0),
        "trials": len(data.evaluated),
    }


def _conditions(best: Row | None) -> dict[str, Any]:
    """How the best's latency was measured."""
    if best is None:
        return {}
    names = (
        *("device", "cpu", "runtime", "runtime_version", "threads", "count", "blocks", "cv", "reference"),
        *("reference_ms", "drift", "valid", "reasons", "measured_at", "conditions"),
    )
    return {name.replace("_", " "): best.measurement[name] for name in names if name in best.measurement}
