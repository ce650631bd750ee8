"""LiteRT's op profile: what `benchmark_model --enable_op_profiling=true` prints as CSV.

A section headed "Operator-wise Profiling Info for Regular Benchmark Runs:" has one row for each operator in
order of execution, first among its tables. Older builds have a `start` column, newer ones do not, so columns
are taken by name. Operators of the XNNPACK delegate are named by their kernels, others by their tensors.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence

from candidates import RunError
from latency.profiling import NodeTime

SECTION = "Operator-wise Profiling Info for Regular Benchmark Runs:"
FLAGS = ("--enable_op_profiling=true", "--op_profiling_output_mode=csv")
_NAMES = {"node type", "avg_ms", "name"}


def parse(text: str) -> list[NodeTime]:
    """Operators in order of execution; RunError where the output holds no profile."""
    lines = [re.sub(r"^(INFO: |.*\btflite\s*: )", "", line) for line in text.splitlines()]
    try:
        start = next(i for i, line in enumerate(lines) if line.strip() == SECTION)
        head = next(i for i in range(start, len(lines)) if lines[i].startswith("node type,"))
    except StopIteration:
        raise RunError(
            f"benchmark_model printed no op profile; its last words: {' '.join(text.split())[-200:] or 'none'}"
        ) from None
    columns = [name.strip() for name in lines[head].split(",")]
    if not set(columns) >= _NAMES:
        raise RunError(f"benchmark_model's op profile has the columns {columns}; expected {sorted(_NAMES)}")
    rows = []
    for values in _table(lines[head + 1 :]):
        if not values or "=" in values[0]:
            break  # an empty line or the next table's heading ends this one
        # A name may hold commas; it is the last column.
        row = dict(
            zip(columns, [*values[: len(columns) - 1], ",".join(values[len(columns) - 1 :])], strict=False)
        )
        rows.append((row.get("name", ""), row["node type"], _milliseconds(row.get("avg_ms", ""))))
    total = sum(ms for _, _, ms in rows)
    if not rows or not total > 0:
        raise RunError("benchmark_model's op profile has no operator that took any time")
    return [NodeTime(name, kind, f"{kind} {name}".strip(), ms, ms / total) for name, kind, ms in rows]


def _table(lines: Sequence[str]) -> Iterator[list[str]]:
    try:
        yield from csv.reader(lines, skipinitialspace=True)
    except csv.Error as error:
        raise RunError(f"benchmark_model's op profile is not CSV: {error}") from None


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise RunError(f"benchmark_model's op profile has the time {text!r}; expected milliseconds")
    return value
