"""Fitting to published numbers: a table of latencies of a device that nobody here has.

The file is CSV with the columns `model,width,resolution,latency_ms`; what is fitted to it is always labelled
as modelled, never as measured.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from candidates import Architecture, InputError, checks, zoo
from candidates.files import read_text
from latency.fitting import Sample, fit_predictor, held_out, sample
from latency.predictor import Predictor

COLUMNS = ("model", "width", "resolution", "latency_ms")
OUTLIER = 0.10  # a row whose left-out prediction is off by more is reported


@dataclass(frozen=True)
class Row:
    """One published latency, with the architecture that it belongs to."""

    architecture: Architecture
    latency_ms: float
    width: float


def read_table(path: Path) -> list[Row]:
    """Read the rows; an InputError gives file, line and value."""
    lines = csv.DictReader(io.StringIO(read_text(path)))
    if lines.fieldnames is None or [name.strip() for name in lines.fieldnames] != list(COLUMNS):
        raise InputError(f"{path} has the columns {lines.fieldnames}; expected {','.join(COLUMNS)}")
    lines.fieldnames = list(COLUMNS)
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            rows.append(_row(line))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
    return rows


def _row(line: dict[str, str]) -> Row:
    if None in line or None in line.values():
        raise InputError(f"expected {len(COLUMNS)} values")
    width = checks.positive("width", _number("width", line["width"]))
    resolution = _number("resolution", line["resolution"])
    if resolution != int(resolution):
        raise InputError(f"resolution is {line['resolution']!r}; expected a whole number")
    arch = zoo.architecture(line["model"].strip()).scaled(
        width=width, resolution=checks.integer("resolution", int(resolution))
    )
    return Row(arch, checks.positive("latency_ms", _number("latency_ms", line["latency_ms"])), width)


def _number(name: str, text: str) -> float:
    try:
        return checks.number(name, float(text))
    except ValueError:
        raise InputError(f"{name} is {text!r}; expected a number") from None


def fit_table(rows: Sequence[Row], device: str) -> Predictor:
    """A Predictor from published numbers, with the coarse features that few rows can carry."""
    return fit_predictor(_samples(rows), "coarse", device=device, source="published table (modelled)")


def _samples(rows: Sequence[Row]) -> list[Sample]:
    return [sample(row.architecture, row.latency_ms, "coarse") for row in rows]


@dataclass(frozen=True)
class LeaveOneOut:
    """Relative errors of each row predicted from the others; `outliers` are off by over 10 %."""

    errors: tuple[float, ...]
    outliers: tuple[int, ...]

    @property
    def mean_error(self) -> float:
        return sum(map(abs, self.errors)) / len(self.errors)

    @property
    def max_error(self) -> float:
        return max(map(abs, self.errors))

    @property
    def within_10(self) -> int:
        return len(self.errors) - len(self.outliers)


def leave_one_out(rows: Sequence[Row]) -> LeaveOneOut:
    """Predict every row from a fit to all the others."""
    samples = _samples(rows)
    errors = [
        float(held_out(samples[:left] + samples[left + 1 :], [samples[left]])[0]) for left in range(len(rows))
    ]
    outliers = tuple(i for i, error in enumerate(errors) if abs(error) > OUTLIER)
    return LeaveOneOut(tuple(errors), outliers)
