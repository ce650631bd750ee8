"""nas-search --benchmark-proxy: what the trainings will take, before anyone spends a night."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.words import counted, duration

if TYPE_CHECKING:
    from nas.proxy_benchmark import Findings

NO_TARGET = 1.0  # milliseconds; nothing is measured, so that any will do


def say_benchmark(
    values: Mapping[str, Any], given: Mapping[str, Any], resume: Path | None, as_json: bool
) -> int:
    """Print what a few candidates take with these settings, or those of a run; return the exit status."""
    from nas.commands.search_options import comparable
    from nas.prepared import training_of
    from nas.proxy_benchmark import benchmark_proxy
    from nas.run_folder import open_run
    from nas.settings import SearchSettings
    from search_space import parse_space, space_text

    if resume is not None:
        folder = open_run(resume)
        settings, text = folder.settings.resumed(comparable(given)), folder.record["space_yaml"]
    else:
        target = NO_TARGET if values.get("target_ms") is None else values["target_ms"]
        settings = SearchSettings(**{**values, "target_ms": target, "storage": None})
        text = space_text(settings.space)
    space = parse_space(text, settings.space)
    training, settings = training_of(settings)
    found = benchmark_proxy(settings, space, training)
    print(json.dumps(found.to_dict(), indent=2) if as_json else words(found))
    return 0


def words(found: Findings) -> str:
    """The findings for people."""
    data, at_work = found.data, counted(found.workers, "worker")
    lines = [
        f"{data['name']}: {data['train_images']} images to train, {data['validation_images']} to validate, "
        f"{counted(found.epochs, 'epoch')} at {data['size']}×{data['size']}, batch {found.batch}, on {found.device}, {at_work}",
        "candidate     M multiply-adds   seconds   images/s   threads   peak RSS MB   GPU MB",
    ]
    for sample in found.samples:
        rss, on_gpu = ("—" if mb is None else f"{mb:.0f}" for mb in (sample.peak_rss_mb, sample.gpu_mb))
        lines.append(
            f"{sample.id}  {sample.multiply_adds / 1e6:15.1f}   {sample.seconds:7.1f}   "
            f"{sample.images_per_second:8.0f}   {sample.threads:7d}   {rss:>11}   {on_gpu:>6}"
        )
    for gpu in found.gpus:
        lines.append(
            f"{gpu.name}: {gpu.utilisation:.0%} busy on average, {gpu.memory_mb:.0f} of "
            f"{gpu.memory_total_mb:.0f} MB taken at most, by whatever used it"
        )
    lines += [
        f"{found.candidates_per_hour:.0f} candidates an hour",
        f"--trials {found.trials}: about {duration(3600 * found.trials / found.candidates_per_hour)} of training; "
        "measuring latencies comes on top",
    ]
    return "\n".join(lines)
