"""What our ONNX runner (runner/runner.c) prints: one JSON object with every run in nanoseconds."""

from __future__ import annotations

import json
from dataclasses import dataclass

from candidates import InputError, RunError, checks

FORMAT = 1
MAX_NS = 10**12  # a single run of over 16 minutes is garbage


@dataclass(frozen=True)
class RunnerResult:
    """One invocation: times in milliseconds, memory in MB."""

    version: str
    init_ms: float
    warmup: int
    times_ms: tuple[float, ...]
    peak_memory_mb: float


def parse(text: str) -> RunnerResult:
    """Read the runner's output; RunError for anything that is not exactly that."""
    lines = [line for line in text.splitlines() if line.lstrip().startswith('{"format"')]
    if len(lines) != 1:
        raise RunError(f"the runner printed no result but {' '.join(text.split())[:200]!r}")
    try:
        values = checks.mapping("the runner's result", json.loads(lines[0]))
        checks.format_number("the runner's result", values, FORMAT)
        times = [
            checks.integer("a run's time in ns", t, 1, MAX_NS)
            for t in checks.sequence("times_ns", values.get("times_ns"))
        ]
        if not times:
            raise InputError("times_ns is empty; expected at least one run")
        return RunnerResult(
            checks.text("version", values.get("version")),
            checks.integer("init_ns", values.get("init_ns"), 1, MAX_NS) / 1e6,
            len(checks.sequence("warmup_ns", values.get("warmup_ns"))),
            tuple(t / 1e6 for t in times),
            checks.integer("peak_memory_kb", values.get("peak_memory_kb"), 0) / 1024,
        )
    except (ValueError, RecursionError) as error:
        raise RunError(f"the runner's result cannot be used: {error}") from None
