"""A finished run with made-up evaluations, of any number of trials, made in seconds.

Latencies follow the multiply-adds and accuracies the parameters, with noise; nothing is measured or trained.
What it serves for is the report, which has to be quick and small with many trials.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.filling import Ended, fill
from candidates import Architecture, zoo
from nas.baselines import NAMES, Baseline, write_baselines
from nas.candidate import Candidate
from nas.layer_times import LayerTimes, layer_names, write_layer_times
from nas.run_folder import RunFolder, create
from nas.settings import SearchSettings
from nas.study import close, open_study
from nas.trials import architecture_text, best_of, study_rows
from search_space import load_space, parse_space, space_text


def made_up_run(
    path: Path,
    trials: int,
    seed: int = 0,
    baselines: bool = True,
    space_yaml: str | None = None,
    **changes: Any,
) -> RunFolder:
    """Make a run's folder at `path` with `trials` ended trials: some failed, too slow, in doubt or repeated."""
    settings = SearchSettings(
        **({"target_ms": 8.0, "device": "cpu", "trials": trials, "seed": seed} | changes)
    )
    text = space_yaml or space_text(settings.space)
    space = parse_space(text, "made-up") if space_yaml else load_space(settings.space)
    folder = create(path, settings, text, {"name": "cpu", "runtime": "onnxruntime", "fingerprint": "0"})
    rng = random.Random(seed)
    points = [space.sample(rng) for _ in range(trials)]
    archs = [space.decode(point).for_input(settings.resolution, 3, 10) for point in points]
    found = [_evaluated(arch, rng, settings) for arch in archs]
    ended = [
        Ended(point, state, attrs, [attrs["reward"]] if "reward" in attrs else [])
        for point, (state, attrs) in zip(points, found, strict=True)
    ]
    study = open_study(folder.database, None, settings.objective, create=True)
    fill(study, {choice.name: choice.values for choice in space.choices}, ended)
    rows = study_rows(study, settings)
    best = best_of(rows, settings.targets)
    if best is not None:
        study.set_user_attr("repeats", {str(best[0].id): (best[0].accuracy or 0.0) - 0.01})
    close(study)
    folder.write(rows, {"proxy": {"name": "made up"}})
    if baselines and best is not None:
        known = [_baseline(name, rng, settings) for name in NAMES]
        write_baselines(path, known)
        archs = [best[0].arch(), known[0].candidate.architecture]
        write_layer_times(path, {arch.id: _layers(arch, rng) for arch in archs})
    return folder


def _latency(arch: Architecture, rng: random.Random) -> float:
    return 0.4 + arch.multiply_adds() / 4.5e7 * rng.uniform(0.9, 1.1)


def _accuracy(arch: Architecture, rng: random.Random) -> float:
    return 1 - 1 / (1.6 + arch.parameters() / 4e5) + rng.gauss(0, 0.01)


def _measurement(latency: float, valid: bool = True) -> dict[str, Any]:
    return {
        "latency_ms": latency, "p5_ms": 0.96 * latency, "p95_ms": 1.07 * latency, "cv": 0.03, "count": 500,
        "threads": 1, "device": "cpu", "runtime": "onnxruntime", "runtime_version": "made up",
        "valid": valid, "reasons": [] if valid else ["other processes took 30 % of the processor"],
    }  # fmt: skip


def _evaluated(
    arch: Architecture, rng: random.Random, settings: SearchSettings
) -> tuple[str, dict[str, Any]]:
    """A trial's state and user attributes."""
    attrs: dict[str, Any] = {
        "id": arch.id, "architecture": architecture_text(arch), "parameters": arch.parameters(),
        "multiply_adds": arch.multiply_adds(),
    }  # fmt: skip
    fate = rng.random()
    if fate < 0.02:
        return "FAIL", {**attrs, "failed_because": "the phone was unplugged"}
    latency = _latency(arch, rng)
    attrs |= {
        "latency_ms": latency,
        "measurement": _measurement(latency, fate > 0.05),
        "measuring_seconds": 1.5,
    }
    if latency > settings.target_ms * settings.max_latency_factor:
        return "PRUNED", attrs
    accuracy = min(0.99, max(0.1, _accuracy(arch, rng)))
    score = settings.targets.reward(accuracy, (latency,))
    return "COMPLETE", {
        **attrs, "accuracy": accuracy, "loss": 1 - accuracy, "reward": score, "training_seconds": 8.0
    }  # fmt: skip


def _baseline(name: str, rng: random.Random, settings: SearchSettings) -> Baseline:
    arch = replace(zoo.load(name).for_input(settings.resolution, 3, 10), name=name)
    latency, accuracy = _latency(arch, rng), _accuracy(arch, rng)
    score = settings.targets.reward(accuracy, (latency,))
    within = latency <= settings.target_ms
    return Baseline(name, Candidate(arch, accuracy, latency, _measurement(latency), score, within))


def _layers(arch: Architecture, rng: random.Random) -> LayerTimes:
    names = layer_names(arch)
    return LayerTimes("made up", tuple((name, rng.uniform(0.01, 0.4)) for name in names))
