"""Several runs on one page: their fronts over each other, their hypervolumes, and what they differ in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from candidates.errors import InputError
from candidates.files import write_text
from nas.progress import milliseconds, percent
from nas.report import charts
from nas.report.hypervolume import Corner, hypervolume
from nas.report.page import Named, environment
from nas.report.palette import SERIES
from nas.report.run_data import RunData, read_run
from nas.report.verdict import counts
from nas.trials import Row
from nas.words import duration

MOST = len(SERIES)
STEPS = 200  # points of a hypervolume's curve, however many the trials


def write_comparison(folders: Sequence[str | Path], path: Path) -> Path:
    """Write one page about `folders`, two to six runs; InputError for what is not a run."""
    if not 2 <= len(folders) <= MOST:
        raise InputError(f"{len(folders)} runs were given; expected 2 to {MOST} to compare")
    runs = [read_run(folder) for folder in folders]
    write_text(path, render(_named(runs)))
    return path


def _named(runs: Sequence[RunData]) -> dict[str, RunData]:
    """The runs by their folders' names, with a number where two are called the same."""
    names = [data.run.path.resolve().name for data in runs]
    found: dict[str, RunData] = {}
    for number, (name, data) in enumerate(zip(names, runs, strict=True), start=1):
        found[name if names.count(name) == 1 else f"{name} ({number})"] = data
    return found


def render(runs: dict[str, RunData]) -> str:
    """The page as text."""
    corner = Corner.of(row for data in runs.values() for row in data.rows)
    volumes = {name: hypervolume(data.rows, corner) if corner else 0.0 for name, data in runs.items()}
    found = _charts(runs, corner, volumes)
    page = {
        "charts": {name: chart for name, (chart, _) in found.items()},
        "data": {name: rows for _, sets in found.values() for name, rows in sets.items()},
    }
    return (
        environment()
        .get_template("comparison.html")
        .render(
            names=list(runs),
            verdict=_verdict(volumes, corner),
            warnings=_warnings(runs),
            charts={name: chart["description"] for name, (chart, _) in found.items()},
            results=_results(runs, volumes),
            differences=_differences(runs),
            same=sorted(set(_settings(next(iter(runs.values())))) - {name for name, _ in _differences(runs)}),
            corner=corner,
            page=page,
            config=charts.config(),
        )
    )


def _verdict(volumes: dict[str, float], corner: Corner | None) -> str:
    if corner is None:
        return "None of these runs has a trained candidate yet."
    order = sorted(volumes, key=lambda name: -volumes[name])
    rest = " and ".join(f"{name} {volumes[name]:.3f}" for name in order[1:])
    return (
        f"{order[0]} has the best front of {len(volumes)} runs: hypervolume {volumes[order[0]]:.3f}, {rest}."
    )


def _warnings(runs: dict[str, RunData]) -> list[str]:
    """What makes the runs' numbers hard to compare."""
    kinds: dict[str, Callable[[RunData], object]] = {
        "devices": lambda data: (data.run.settings.devices, data.run.record["device"].get("fingerprint")),
        "data sets": lambda data: data.run.settings.data,
        "epochs of the proxy": lambda data: data.run.settings.epochs,
        "input sizes": lambda data: data.run.settings.resolution,
    }
    return [
        f"The runs have different {what}: their {'latencies' if what in ('devices', 'input sizes') else 'accuracies'} are not alike."
        for what, of in kinds.items()
        if len({str(of(data)) for data in runs.values()}) > 1
    ]


def _charts(runs: dict[str, RunData], corner: Corner | None, volumes: dict[str, float]) -> dict[str, Named]:
    if corner is None:
        return {}
    names, colours = list(runs), [f"@{SERIES[index]}" for index in range(len(runs))]
    fronts = [
        {"run": name, "id": row.id, "trial": row.number, "latency": row.latency_ms, "accuracy": row.accuracy}
        for name, data in runs.items()
        for row in data.front
    ]
    curves = [point for name, data in runs.items() for point in _curve(name, data.rows, corner)]
    axis = charts.latency_axis([row.latency_ms or 0.0 for data in runs.values() for row in data.front])
    summary = "The fronts of " + "; ".join(
        f"{name}: {len(data.front)} candidates" for name, data in runs.items()
    )
    ends = "; ".join(f"{name}: {volume:.3f}" for name, volume in volumes.items())
    return {
        "fronts": (charts.fronts(axis, names, colours, summary + "."), {"fronts": fronts}),
        "hypervolumes": (
            charts.hypervolumes(names, colours, f"The hypervolume over trials, at the end {ends}."),
            {"hypervolumes": curves},
        ),
    }


def _curve(name: str, rows: list[Row], corner: Corner) -> list[dict[str, Any]]:
    """The hypervolume after each trial, thinned to STEPS points."""
    step = max(1, len(rows) // STEPS)
    ends = [*range(step, len(rows), step), len(rows)]
    # What each part of the trials adds is judged against the front so far alone.
    fronts = accumulate(
        (rows[start:end] for start, end in zip([0, *ends], ends, strict=False)),
        lambda front, part: _front([*front, *part]),
    )
    return [
        {"run": name, "trial": end, "hypervolume": round(hypervolume(front, corner), 5)}
        for end, front in zip(ends, fronts, strict=True)
    ]


def _front(rows: list[Row]) -> list[Row]:
    found: list[Row] = []
    for row in sorted(
        (r for r in rows if r.evaluated), key=lambda r: (r.latency_ms or 0.0, -(r.accuracy or 0.0))
    ):
        if not found or (row.accuracy or 0.0) > (found[-1].accuracy or 0.0):
            found.append(row)
    return found


def _results(runs: dict[str, RunData], volumes: dict[str, float]) -> list[tuple[str, list[str]]]:
    """A line for each kind of result, a cell for each run."""
    cells: dict[str, Callable[[str, RunData], str]] = {
        "hypervolume": lambda name, data: f"{volumes[name]:.3f}",
        "best": lambda name, data: str(data.best[0].id) if data.best else "—",
        "accuracy": lambda name, data: percent(data.best[0].accuracy) if data.best else "—",
        "latency": lambda name, data: milliseconds(data.best[0].latency_ms) if data.best else "—",
        "within its target": lambda name, data: ("yes" if data.best[1] else "no") if data.best else "—",
        "on the front": lambda name, data: str(len(data.front)),
        "trials": lambda name, data: ", ".join(f"{n} {what}" for what, n in counts(data.rows).items() if n),
        "time in trials": lambda name, data: duration(sum(data.seconds(row) or 0.0 for row in data.rows)),
    }
    return [(what, [tell(name, data) for name, data in runs.items()]) for what, tell in cells.items()]


def _settings(data: RunData) -> dict[str, str]:
    record = data.run.record
    parts = {"": data.run.settings.to_dict(), "device ": record["device"], "version of ": record["versions"]}
    return {
        f"{prefix}{name}": str(value) for prefix, values in parts.items() for name, value in values.items()
    }


def _differences(runs: dict[str, RunData]) -> list[tuple[str, list[str]]]:
    """Settings, device and versions that are not the same in all runs."""
    known = [_settings(data) for data in runs.values()]
    names = list(dict.fromkeys(name for values in known for name in values))
    lines = [(name, [values.get(name, "—") for values in known]) for name in names]
    return [(name, values) for name, values in lines if len(set(values)) > 1]
