"""What LiteRT's `benchmark_model` prints, old and new; times in microseconds.

    https://github.com/google-ai-edge/LiteRT/tree/main/litert/tools (TensorFlow Lite's tools/benchmark before)

Output that matches none of the known forms is an error: another tool returned 0 ms there, and searches then
preferred the models that crashed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from candidates import RunError

_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
_COUNTS = re.compile(r"\bcount=\d+[^\n]*")
_PAIR = re.compile(rf"\b(count|first|curr|min|max|avg|std|p5|median|p95)={_NUMBER}(?=\s|$)")
_INIT = re.compile(rf"\bInit(?:ialization)?: {_NUMBER}")
_FIRST = re.compile(rf"\bFirst inference: {_NUMBER}")
_AVERAGE = re.compile(rf"Average inference timings in us: .*\bInference: {_NUMBER}")
_MEMORY = re.compile(rf"Memory footprint delta[^\n]*\boverall={_NUMBER}")
_DELEGATED = re.compile(
    r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((\w+)\)[^\n]*yielding (\d+) partitions"
)


@dataclass(frozen=True)
class BenchmarkResult:
    """One invocation. `count` is None in very old builds, which print averages alone.

    `median_us`, `p5_us` and `p95_us` are None in builds that do not print them. `delegates` are pairs of
    name and share of the nodes taken (1.0 is all of them).
    """

    average_us: float
    count: int | None = None
    median_us: float | None = None
    p5_us: float | None = None
    p95_us: float | None = None
    min_us: float | None = None
    max_us: float | None = None
    std_us: float | None = None
    init_us: float | None = None
    first_us: float | None = None
    memory_mb: float | None = None
    delegates: tuple[tuple[str, float], ...] = ()


def parse(text: str) -> BenchmarkResult:
    """Read one invocation's output; RunError where it holds no measurement."""
    if "Failed to apply" in text and "delegate" in text:
        line = next(line for line in text.splitlines() if "Failed to apply" in line)
        raise RunError(f"benchmark_model could not use the delegate: {line.strip()[:200]}")
    blocks = [dict(_PAIR.findall(line)) for line in _COUNTS.findall(text)]
    average = _AVERAGE.search(text)
    if not blocks and average is None:
        raise RunError(
            f"benchmark_model printed no timings; its last words: {' '.join(text.split())[-200:] or 'none'}"
        )
    # The first timed block is warm-up, the last the measurement; a lone one is only believed together with
    # the summary that ends a whole run, since a tool that died after warm-up leaves one as well.
    finished = "Inference timings in us" in text or "Timings (microseconds)" in text or average is not None
    if len(blocks) == 1 and not finished:
        raise RunError("benchmark_model ended after its warm-up; it printed no measurement")
    values = {name: float(value) for name, value in blocks[-1].items()} if blocks else {}
    mean = values.get("avg", values.get("curr") if values.get("count") == 1 else None)
    if mean is None and average is not None:
        mean = float(average[1])
    if mean is None or not 0 < mean < 1e12:
        raise RunError(f"benchmark_model printed an average of {mean} µs; expected a time above 0")
    count = int(values["count"]) if "count" in values else None
    if count == 0:
        raise RunError("benchmark_model counted 0 runs; expected at least one")
    return BenchmarkResult(
        average_us=mean,
        count=count,
        median_us=values.get("median"),
        p5_us=values.get("p5"),
        p95_us=values.get("p95"),
        min_us=values.get("min"),
        max_us=values.get("max"),
        std_us=values.get("std"),
        init_us=_number(_INIT, text),
        first_us=_number(_FIRST, text) or values.get("first"),
        memory_mb=_number(_MEMORY, text),
        delegates=tuple(
            (name, int(taken) / max(1, int(nodes))) for taken, nodes, name, _ in _DELEGATED.findall(text)
        ),
    )


def _number(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.search(text)
    return float(found[1]) if found else None
