"""One invocation of a runner on a device, and several of them as one summary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from candidates import RunError
from latency import benchmark_model, runner_output
from latency.adb.transport import Finished
from latency.adb.workspace import Workspace
from latency.settings import Settings
from latency.summary import Summary, median, median_interval, quantile, robust_cv

P5_TO_P95 = 3.29  # standard deviations, where the values are normal
MAX_RUN_SECONDS = 60.0  # of timed runs in one invocation


@dataclass(frozen=True)
class Invocation:
    """What one start of a runner found; milliseconds. `times_ms` is empty where it prints a summary alone."""

    latency_ms: float
    p5_ms: float
    p95_ms: float
    cv: float
    count: int
    times_ms: tuple[float, ...] = ()
    init_ms: float | None = None
    warmup: int = 0
    peak_memory_mb: float | None = None
    version: str | None = None
    delegates: tuple[tuple[str, float], ...] = ()
    objections: tuple[str, ...] = ()
    wall_s: float = 0.0


def run_runner(
    workspace: Workspace, program: str, model: str, settings: Settings, prefix: list[str], seconds: float
) -> Invocation:
    """Our ONNX runner; `seconds` is the most that the whole invocation may take."""
    arguments = [program, "./libonnxruntime.so", model, "--threads", str(settings.threads)]
    arguments += ["--min-runs", str(settings.min_runs), "--min-ms", f"{1000 * settings.min_seconds:g}"]
    arguments += ["--max-ms", f"{1000 * MAX_RUN_SECONDS:g}"]
    start = time.monotonic()
    found = runner_output.parse(checked(workspace.run(arguments, seconds, prefix)).out)
    return Invocation(
        median(found.times_ms),
        quantile(found.times_ms, 0.05),
        quantile(found.times_ms, 0.95),
        robust_cv(found.times_ms),
        len(found.times_ms),
        found.times_ms,
        found.init_ms,
        found.warmup,
        found.peak_memory_mb,
        found.version,
        wall_s=time.monotonic() - start,
    )


def run_benchmark_model(
    workspace: Workspace, program: str, model: str, settings: Settings, prefix: list[str], seconds: float
) -> Invocation:
    """LiteRT's benchmark_model; in older builds min, max, mean and std stand in for quantiles."""
    arguments = [program, f"--graph={model}", f"--num_threads={settings.threads}"]
    arguments += [f"--num_runs={settings.min_runs}", f"--min_secs={settings.min_seconds:g}"]
    arguments += [f"--max_secs={MAX_RUN_SECONDS:g}", "--use_xnnpack=true"]
    start = time.monotonic()
    done = checked(workspace.run(arguments, seconds, prefix))
    found = benchmark_model.parse(f"{done.out}\n{done.err}")
    objections = []
    if found.median_us is None:
        objections.append(
            "this benchmark_model prints no median; the number is a mean (a newer build has it)"
        )
    if found.delegates and min(share for _, share in found.delegates) < 1.0:
        objections.append("part of the model was not taken by the delegate and ran on its fall-back")
    middle = found.median_us or found.average_us
    return Invocation(
        middle / 1000,
        (found.p5_us or found.min_us or middle) / 1000,
        (found.p95_us or found.max_us or middle) / 1000,
        _spread(found),
        found.count or 1,
        (),
        found.init_us / 1000 if found.init_us else None,
        delegates=found.delegates,
        objections=tuple(objections),
        wall_s=time.monotonic() - start,
    )


def _spread(found: benchmark_model.BenchmarkResult) -> float:
    """The coefficient of variation: from the quantiles where there are any, which one slow run does not move."""
    if found.median_us and found.p5_us is not None and found.p95_us is not None:
        return (found.p95_us - found.p5_us) / P5_TO_P95 / found.median_us
    return (found.std_us or 0.0) / found.average_us


def checked(done: Finished) -> Finished:
    """What finished well; RunError with status, signal and last words for what did not."""
    if done.code:
        signal = f" (signal {done.code - 128})" if 128 < done.code < 160 else ""
        raise RunError(f"the runner on the device failed with status {done.code}{signal}: {done.last_words}")
    return done


def combine(found: Sequence[Invocation], references: Sequence[Invocation]) -> Summary:
    """The median of the invocations' medians; drift is how far the reference moved from before to after."""
    medians = tuple(i.latency_ms for i in found)
    latency = median(medians)
    every = [t for i in found for t in i.times_ms]
    low, high = (min(medians), max(medians)) if len(medians) > 1 else _interval(found[0])
    around = [i.latency_ms for i in references]
    return Summary(
        latency_ms=latency,
        p5_ms=quantile(every, 0.05) if every else median([i.p5_ms for i in found]),
        p95_ms=quantile(every, 0.95) if every else median([i.p95_ms for i in found]),
        cv=robust_cv(every) if every else median([i.cv for i in found]),
        count=sum(i.count for i in found),
        interval_ms=(min(low, latency), max(high, latency)),
        block_medians_ms=medians,
        raw_ms=latency,
        reference_ms=median(around) if around else None,
        drift=(max(around) - min(around)) / min(around) if len(around) > 1 else None,
    )


def _interval(one: Invocation) -> tuple[float, float]:
    return median_interval(one.times_ms) if one.times_ms else (one.p5_ms, one.p95_ms)
