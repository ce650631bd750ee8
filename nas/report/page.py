"""The report's page, from a run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from candidates.files import write_text
from nas.progress import milliseconds, outcome, percent, times
from nas.report.drawing import block_words, draw
from nas.report.plots import best_so_far, front_plot, target_shown
from nas.run_folder import RunFolder, open_run
from nas.study import close, open_study
from nas.targets import reasons_of
from nas.trials import Row, best_of, ranked, study_rows

TOP = 5  # architectures that are drawn
NOISE_FACTOR = 2.8  # 1.96 · sqrt(2): two accuracies closer than this many deviations are not told apart


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into a run's folder and return its path; InputError where it is not a run."""
    run = open_run(Path(folder))
    study = open_study(run.database, None, run.settings.objective, create=False)
    attrs = study.user_attrs
    rows = study_rows(study, run.settings)
    close(study)
    path = run.path / "report.html"
    write_text(path, render(run, rows, attrs))
    return path


def render(run: RunFolder, rows: list[Row], attrs: Mapping[str, Any]) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("nas"), autoescape=select_autoescape(default=True), undefined=StrictUndefined
    )
    environment.filters |= {"percent": percent, "ms": milliseconds, "times": times, "outcome": outcome}
    settings = run.settings
    chosen = best_of(rows, settings.targets)
    best = chosen[0] if chosen else None
    noise = noise_of(rows, attrs.get("repeats", {}))
    top = ranked(rows)[:TOP]
    if best and best not in top:
        top.insert(0, best)
    # The drawings escape what they hold; everything else is escaped by the template.
    drawings = [(row, Markup(draw(row.arch())), [block_words(b) for b in row.arch().blocks]) for row in top]
    return environment.get_template("report.html").render(
        run=run.path.name,
        settings=settings,
        record=run.record,
        rows=rows,
        best=best,
        within=chosen[1] if chosen else False,
        front=sorted((r for r in rows if r.on_front), key=lambda r: r.latency_ms or 0.0),
        noise=noise,
        recommended=_recommended(rows, best, attrs.get("recommended", {})),
        alike=_alike(best, rows, noise),
        front_svg=Markup(front_plot(rows, settings.target_ms, best)),
        progress_svg=Markup(best_so_far(rows, settings.target_ms)),
        target_hidden=not target_shown(rows, settings.target_ms),
        drawings=drawings,
        counts=_counts(rows),
        doubtful=[
            (row, reasons_of(row.measurement)) for row in rows if row.on_front and reasons_of(row.measurement)
        ],
    )


def _recommended(rows: list[Row], best: Row | None, kept: Mapping[str, Any]) -> tuple[Row, float] | None:
    """The model's own choice with its estimate, where that is another than the best seen."""
    for row in rows:
        if row.evaluated and row.id == kept.get("id") and best is not None and row.number != best.number:
            return row, float(kept["accuracy"])
    return None


def noise_of(rows: list[Row], repeats: Mapping[str, float]) -> float | None:
    """Standard deviation of the proxy's accuracy between seeds: sqrt(mean(d²) / 2) over repeated trainings."""
    pairs = [(row.accuracy, repeats[str(row.id)]) for row in rows if row.evaluated and row.id in repeats]
    squares = [(first - second) ** 2 for first, second in pairs if first is not None]
    return (sum(squares) / len(squares) / 2) ** 0.5 if squares else None


def _alike(best: Row | None, rows: list[Row], noise: float | None) -> list[Row]:
    """Candidates whose accuracy differs from the best's by less than the proxy's noise can tell."""
    if best is None or best.accuracy is None or noise is None:
        return []
    return [
        row
        for row in rows
        if row.evaluated
        and row.number != best.number
        and row.accuracy is not None
        and abs(row.accuracy - best.accuracy) < NOISE_FACTOR * noise
    ]


def _counts(rows: list[Row]) -> dict[str, int]:
    return {
        "complete": sum(row.state == "COMPLETE" for row in rows),
        "duplicates": sum(row.duplicate_of is not None for row in rows),
        "too slow": sum(row.too_slow for row in rows),
        "over a limit": sum(row.over_limit is not None for row in rows),
        "stopped early": sum(row.state == "PRUNED" and row.epochs > 0 for row in rows),
        "failed": sum(row.state == "FAIL" for row in rows),
    }
