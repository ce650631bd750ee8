"""The trials as plain columns and rows: what a page's table and charts read."""

from __future__ import annotations

import json
from typing import Any

from nas.progress import outcome
from nas.report.run_data import RunData
from nas.run_folder import TOP
from nas.targets import reasons_of
from nas.trials import Row, ranked

COLUMNS = (
    "trial",
    "id",
    "state",
    "accuracy",
    "latency",
    "low",
    "high",
    "also",
    "reward",
    "parameters",
    "multiply_adds",
    "hours",
    "kind",
    "note",
    "file",
    "blocks",
)
KINDS = ("front", "other", "doubt", "none")
"""What a trial is in the chart of accuracy over latency; `none` has no place there."""


def trial_rows(data: RunData) -> list[list[Any]]:
    """One list for each trial, in the order of COLUMNS.

    Latencies in milliseconds (`low` and `high` are p5 and p95, `also` those on further devices), accuracy 0 to
    1, `file` whether candidates/ has it, `blocks` the block strings.
    """
    kept = {row.id for row in [*ranked(data.rows)[:TOP], *data.front]}
    return [_row(data, row, kept) for row in data.rows]


def records(data: RunData) -> list[dict[str, Any]]:
    """The same as one mapping for each trial, as charts take them."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in trial_rows(data)]


def _row(data: RunData, row: Row, kept: set[str | None]) -> list[Any]:
    measured = row.measurement
    also = [_short(latency) for latency in row.latencies[1:]] if row.latency_ms is not None else []
    # A network that was met before is drawn at its first trial.
    text = row.architecture if row.architecture and row.duplicate_of is None else None
    return [
        row.number,
        row.id,
        row.state,
        _short(row.accuracy),
        _short(row.latency_ms),
        _short(measured.get("p5_ms")),
        _short(measured.get("p95_ms")),
        also or None,
        _short(row.reward),
        row.parameters,
        row.multiply_adds,
        _short(data.hours(row)),
        _kind(row),
        outcome(row),
        row.id in kept,
        " ".join(json.loads(text)["blocks"]) if text else None,
    ]


def _kind(row: Row) -> str:
    if not row.evaluated or not row.latency_ms:
        return "none"
    return "front" if row.on_front else "doubt" if reasons_of(row.measurement) else "other"


def _short(value: Any) -> float | None:
    """Six digits are more than any of them is good for."""
    return float(f"{value:.6g}") if isinstance(value, int | float) else None
