"""What a page says in words: the verdict in one sentence, and what has to be known to judge it."""

from __future__ import annotations

from collections.abc import Mapping

from nas.baselines import Baseline
from nas.progress import milliseconds, percent, times
from nas.report.run_data import RunData
from nas.targets import reasons_of
from nas.trials import Row, kept_with
from nas.words import duration, listed

NOISE_FACTOR = 2.8  # 1.96 · sqrt(2): two accuracies closer than this many deviations are not told apart
SAME = 0.05  # two latencies closer than this are called the same


def verdict(data: RunData) -> str:
    """What was found, how accurate, how fast on which device, against the target and the baselines."""
    if data.best is None:
        return "No candidate has been trained yet."
    row, within = data.best
    settings = data.run.settings
    epochs = f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}"
    judged = (
        f"within the target of {settings.goal}" if within else f"which misses the target of {settings.goal}"
    )
    against = listed([_against(row, one) for one in data.baselines]) if data.baselines else ""
    return (
        f"{row.id} is {'the best' if within else 'the nearest'} of {len(data.evaluated)} trained candidates: "
        f"{percent(row.accuracy)} accurate on held-out images of {settings.data} after {epochs} of proxy training, and "
        f"{times(row)} on {' and '.join(settings.devices)}{_spread(row)}, {judged}"
        + (f"; it is {against}" if against else "")
        + "."
    )  # fmt: skip


def _spread(row: Row) -> str:
    low, high = row.measurement.get("p5_ms"), row.measurement.get("p95_ms")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return ""
    return f" ({milliseconds(low)} to {milliseconds(high)} from p5 to p95)"


def _against(row: Row, baseline: Baseline) -> str:
    """`5.3 times as fast as mnasnet-a1 (7.8 ms) and 1.2 points more accurate (90.9 %)`."""
    ratio = baseline.latency_ms / (row.latency_ms or 1.0)
    if abs(ratio - 1) < SAME:
        speed = "as fast as"
    else:
        speed = f"{max(ratio, 1 / ratio):.1f} times as {'fast' if ratio > 1 else 'slow'} as"
    text = f"{speed} {baseline.name} ({milliseconds(baseline.latency_ms)})"
    if baseline.accuracy is not None and row.accuracy is not None:
        points = 100 * (row.accuracy - baseline.accuracy)
        text += f" and {abs(points):.1f} points {'more' if points >= 0 else 'less'} accurate ({percent(baseline.accuracy)})"
    return text


def notes(data: RunData) -> list[str]:
    """What tempers the verdict: noise, luck, candidates that are as good, baselines without an accuracy."""
    found = []
    best = data.best[0] if data.best else None
    noise = noise_of(data.rows, kept_with(data.attrs, "repeat"))
    if noise is not None:
        text = (
            "Between two training seeds the proxy's accuracy varies with a standard deviation of "
            f"{100 * noise:.2f} points."
        )
        same = alike(best, data.rows, noise)
        if same:
            count = f"{len(same)} other candidate{'s differ' if len(same) > 1 else ' differs'}"
            text += (
                f" {count} from the best by less than that can tell apart: the difference is noise, and the "
                "faster one is as good a choice."
            )
        found.append(text)
    recommended = _recommended(data.rows, best, data.attrs.get("recommended", {}))
    if recommended:
        row, estimate = recommended
        found.append(
            f"By the model of all trials, which discounts luck, {row.id} is the better choice within the target: "
            f"{percent(estimate)} estimated ({percent(row.accuracy)} seen), {milliseconds(row.latency_ms)}."
        )
    if best and any(one.accuracy is None for one in data.baselines):
        found.append(
            "The baselines were measured, not trained: nas-report RUN --baselines trains them with the same proxy."
        )
    elif best and not data.baselines:
        found.append(
            "Not compared with known networks yet: nas-report RUN --baselines measures and trains them."
        )
    found.append(
        "An accuracy here is the proxy's: it ranks candidates and is not what a full training reaches."
    )
    return found


def warnings(data: RunData) -> list[str]:
    """What is wrong with the numbers."""
    found = []
    if data.best and not data.best[1]:
        found.append("No candidate is within the target; this one is the nearest.")
    doubtful = [(row, reasons_of(row.measurement)) for row in data.rows if row.on_front]
    doubtful = [(row, reasons) for row, reasons in doubtful if reasons]
    if doubtful:
        several = len(doubtful) > 1
        listing = ", ".join(f"{row.id} ({'; '.join(reasons)})" for row, reasons in doubtful)
        found.append(
            f"{len(doubtful)} latenc{'ies' if several else 'y'} on the front {'are' if several else 'is'} in doubt: {listing}."
        )
    doubts = [(one.name, reasons_of(one.candidate.measurement or {})) for one in data.baselines]
    if any(reasons for _, reasons in doubts):
        listing = ", ".join(f"{name} ({reasons[0]})" for name, reasons in doubts if reasons)
        found.append(f"Known networks whose latency is in doubt: {listing}.")
    return found


def noise_of(rows: list[Row], repeats: Mapping[str, float]) -> float | None:
    """Standard deviation of the proxy's accuracy between seeds: sqrt(mean(d²) / 2) over repeated trainings."""
    pairs = [(row.accuracy, repeats[str(row.id)]) for row in rows if row.evaluated and row.id in repeats]
    squares = [(first - second) ** 2 for first, second in pairs if first is not None]
    return (sum(squares) / len(squares) / 2) ** 0.5 if squares else None


def alike(best: Row | None, rows: list[Row], noise: float) -> list[Row]:
    """Candidates whose accuracy differs from the best's by less than the proxy's noise can tell."""
    if best is None or best.accuracy is None:
        return []
    others = [row for row in rows if row.evaluated and row.number != best.number]
    return [row for row in others if abs((row.accuracy or 0.0) - best.accuracy) < NOISE_FACTOR * noise]


def _recommended(rows: list[Row], best: Row | None, kept: Mapping[str, object]) -> tuple[Row, float] | None:
    """The model's own choice with its estimate, where that is another than the best seen."""
    for row in rows:
        if row.evaluated and row.id == kept.get("id") and best is not None and row.number != best.number:
            return row, float(str(kept["accuracy"]))
    return None


def counts(rows: list[Row]) -> dict[str, int]:
    """How many trials came to what."""
    return {
        "complete": sum(row.state == "COMPLETE" for row in rows),
        "duplicates": sum(row.duplicate_of is not None for row in rows),
        "too slow": sum(row.too_slow for row in rows),
        "over a limit": sum(row.over_limit is not None for row in rows),
        "stopped early": sum(row.state == "PRUNED" and row.epochs > 0 for row in rows),
        "failed": sum(row.state == "FAIL" for row in rows),
    }


def time_spent(data: RunData) -> list[tuple[str, float, str]]:
    """Where the trials' time went: what, share of all (0 to 1), and how long in words; empty where unknown."""
    seconds = {"measuring": 0.0, "training": 0.0, "failed": 0.0, "choosing and waiting": 0.0}
    for row in data.rows:
        whole = data.seconds(row)
        if whole is None:
            continue
        if row.state == "FAIL":
            seconds["failed"] += whole
            continue
        # What a duplicate repeats was spent in the trial that it repeats.
        parts = (0.0, 0.0) if row.duplicate_of is not None else (row.measuring_seconds, row.training_seconds)
        seconds["measuring"] += parts[0]
        seconds["training"] += parts[1]
        seconds["choosing and waiting"] += max(0.0, whole - sum(parts))
    total = sum(seconds.values())
    return [(what, spent / total, duration(spent)) for what, spent in seconds.items()] if total > 0 else []
