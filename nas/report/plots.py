"""The report's plots as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from nas.progress import milliseconds, percent
from nas.report.axes import BOTTOM, HEIGHT, TOP, Axis, frame, text, titled, x_axis, y_axis
from nas.trials import Row


def front_plot(rows: Sequence[Row], target_ms: float, best: Row | None) -> str:
    """Accuracy over latency: every evaluated candidate, the front joined, the target as a line."""
    shown = [row for row in rows if row.evaluated and row.latency_ms and row.accuracy is not None]
    if not shown:
        return ""
    latencies = [row.latency_ms or 0.0 for row in shown]
    near = target_shown(rows, target_ms)
    x = x_axis([*latencies, target_ms] if near else latencies)
    y = y_axis([row.accuracy or 0.0 for row in shown])
    front = sorted((row for row in shown if row.on_front), key=lambda row: row.latency_ms or 0.0)
    parts = []
    if near:
        parts.append(
            f'<line class="target" x1="{x(target_ms):.1f}" x2="{x(target_ms):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
        parts.append(text(x(target_ms) - 4, TOP + 12, f"target {target_ms:g} ms", "end"))
    line = " ".join(f"{x(row.latency_ms or 0):.1f},{y(row.accuracy or 0):.1f}" for row in front)
    parts.append(f'<polyline class="front" points="{line}"/>')
    for row in shown:
        parts.append(_spread(row, x, y))
        kind = "best" if best and row.number == best.number else "on-front" if row.on_front else "other"
        parts.append(
            titled(
                f'<circle class="{kind}" tabindex="0" cx="{x(row.latency_ms or 0):.1f}" '
                f'cy="{y(row.accuracy or 0):.1f}" r="{6 if kind == "best" else 4}"',
                f"trial {row.number}, {row.id}: {percent(row.accuracy)}, {milliseconds(row.latency_ms)}",
            )
        )
    summary = f"Accuracy over latency of {len(shown)} candidates; {len(front)} are on the front."
    return frame(x, y, "latency, ms", "accuracy", percent_tick, "\n".join(parts), summary)


def target_shown(rows: Sequence[Row], target_ms: float) -> bool:
    """Whether the target is in the plot: one far away would squeeze all else into a corner."""
    return 2 * max((row.latency_ms or 0.0 for row in rows if row.evaluated), default=0.0) >= target_ms


def _spread(row: Row, x: Axis, y: Axis) -> str:
    low, high = row.measurement.get("p5_ms"), row.measurement.get("p95_ms")
    if not (row.on_front and isinstance(low, float) and isinstance(high, float)):
        return ""
    low, high = (min(max(value, x.low), x.high) for value in (low, high))
    at = y(row.accuracy or 0)
    return f'<line class="spread" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'


def best_so_far(rows: Sequence[Row], target_ms: float) -> str:
    """The highest reward up to each trial, and each trial's own."""
    shown = [row for row in rows if row.evaluated and row.reward is not None]
    if not shown:
        return ""
    x, y = x_axis([float(row.number) for row in shown]), y_axis([row.reward or 0.0 for row in shown])
    steps: list[tuple[float, float]] = []
    best = -1.0
    for row in shown:
        if (row.reward or 0.0) > best:
            if steps:
                steps.append((float(row.number), best))
            best = row.reward or 0.0
        steps.append((float(row.number), best))
    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in steps)
    dots = "\n".join(
        titled(
            f'<circle class="other" cx="{x(row.number):.1f}" cy="{y(row.reward or 0):.1f}" r="3"',
            f"trial {row.number}: reward {row.reward:.4f}",
        )
        for row in shown
    )
    summary = f"Best reward so far over {len(shown)} trials; it ends at {best:.4f} for a target of {target_ms:g} ms."
    return frame(
        x,
        y,
        "trial",
        "reward",
        lambda v: f"{v:.3g}",
        f'{dots}\n<polyline class="front" points="{line}"/>',
        summary,
    )


def percent_tick(value: float) -> str:
    """A tick of an accuracy axis."""
    return f"{100 * value:.4g} %"
