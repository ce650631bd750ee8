"""Calibrating: measuring a spread of architectures on a device and fitting a predictor to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from candidates import Architecture, InputError, checks
from latency.device import Device
from latency.features import fine
from latency.fitting import Sample, fit_predictor, quality, sample
from latency.measurement import Measurement
from latency.model import Model
from latency.predictor import Predictor
from latency.settings import Settings
from latency.store import Store
from latency.store import measured as measured_or_known
from latency.summary import median

POOL = 20  # architectures looked at for each one chosen
MAX_POOL = 1500
BLOCKS = 3  # what is calibrated on is measured as what is reported
SEEN = 0.3  # what a group that was measured once is still worth


class Space(Protocol):
    """What architectures may be sampled; search_space's spaces are of this kind."""

    def sample(self, rng: Random) -> Any: ...

    def decode(self, point: Any) -> Architecture: ...


@dataclass(frozen=True)
class Measured:
    """An architecture with its measurement and its groups' times (empty without a profiler)."""

    architecture: Architecture
    measurement: Measurement
    operation_ms: dict[int, float]


def random_architectures(
    space: Space, count: int, seed: int, without: Sequence[Architecture] = ()
) -> list[Architecture]:
    """`count` different architectures, uniformly over the space's points, none of them in `without`."""
    rng = Random(seed)
    found: dict[str, Architecture] = {}
    known = {arch.id for arch in without}
    for _ in range(100 * count):
        arch = space.decode(space.sample(rng))
        if arch.id not in known:
            found.setdefault(arch.id, arch)
        if len(found) == count:
            return list(found.values())
    raise InputError(f"the space has only {len(found)} different architectures to offer; expected {count}")


def covering(space: Space, count: int, seed: int = 0) -> list[Architecture]:
    """`count` architectures that cover the space: its range of sizes, and what its architectures consist of.

    A random pool is cut into `count` strata by multiply-adds. From each, in random order, comes the one that
    adds most of the groups of operations that are common in the pool and not covered yet.
    """
    try:
        pool = random_architectures(space, min(MAX_POOL, POOL * count), seed)
    except InputError:
        return random_architectures(space, count, seed)
    pool.sort(key=lambda arch: arch.multiply_adds())
    held = [{group.signature for group in fine(arch)} for arch in pool]
    worth: dict[str, float] = {}
    for signatures in held:
        for signature in signatures:
            worth[signature] = worth.get(signature, 0.0) + 1.0
    strata = [range(len(pool) * i // count, len(pool) * (i + 1) // count) for i in range(count)]
    Random(seed).shuffle(strata)
    chosen = []
    for stratum in strata:
        best = max(stratum, key=lambda i: sum(worth[s] for s in held[i]) / len(held[i]))
        for signature in held[best]:
            worth[signature] *= SEEN
        chosen.append(pool[best])
    return chosen


def measured(
    device: Device,
    archs: Sequence[Architecture],
    settings: Settings,
    store: Store | None = None,
    fresh: bool = False,
) -> Iterator[Measured]:
    """Measure each of `archs` and profile it where the device can; what `store` knows is not measured again."""

    def once(arch: Architecture, again: bool = False) -> Measurement:
        model = Model(arch.name or arch.id, architecture=arch)
        if store is None:
            return device.measure(model, settings)
        return measured_or_known(model, device, settings, store, fresh or again)[0]

    with device.opened():
        for arch in archs:
            found = once(arch)
            if not found.valid:  # once more; what is still flagged is used all the same
                found = once(arch, again=True)
            yield Measured(arch, found, dict(device.operation_times(arch, settings.threads) or {}))


def common_speed(found: Sequence[Measured]) -> tuple[list[float], float]:
    """Latencies at one speed of the reference, its median over all; and that speed (0 without one)."""
    speeds = [m.measurement.reference_ms for m in found]
    if any(speed is None for speed in speeds) or not found:
        return [m.measurement.latency_ms for m in found], 0.0
    base = median([speed for speed in speeds if speed is not None])
    # `latency_ms` refers to the session's median of its time; the raw median to nothing.
    return [
        (m.measurement.raw_ms or m.measurement.latency_ms) * base / (m.measurement.reference_ms or base)
        for m in found
    ], base


def samples_of(found: Sequence[Measured], features: str = "fine") -> list[Sample]:
    """What a predictor of these `features` is fitted to; profiles are for the fine ones alone."""
    latencies, _ = common_speed(found)
    return [
        sample(m.architecture, ms, features, m.operation_ms if features == "fine" else None)
        for m, ms in zip(found, latencies, strict=True)
    ]


def fit(found: Sequence[Measured], prior: Predictor | None = None, **about: Any) -> Predictor:
    """A Predictor from measurements on one device, described by the first of them."""
    first = found[0].measurement
    return fit_predictor(
        samples_of(found, prior.features if prior else "fine"),
        prior=prior,
        device=first.device,
        threads=first.threads,
        runtime=first.runtime,
        runtime_version=first.runtime_version,
        fingerprint=first.fingerprint or "",
        reference_ms=common_speed(found)[1],
        **about,
    )


def calibrate(
    device: Device,
    space: Space,
    samples: int = 60,
    held_out: int = 12,
    threads: int = 1,
    seed: int = 0,
    prior: Predictor | None = None,
    name: str = "",
    progress: Callable[[int, int, Measurement], None] | None = None,
    store: Store | None = None,
    fresh: bool = False,
) -> Predictor:
    """Measure `samples` architectures that cover `space`, fit, and judge on `held_out` random others.

    `prior` is another device's predictor to start from; then a handful of samples suffices. `progress` is
    called after each measurement with how many are done and their total. With `store`, what was measured
    before is not measured again (unless `fresh`), so that an interrupted calibration goes on where it was.
    """
    checks.integer("samples", samples, 6, MAX_POOL)
    checks.integer("held_out", held_out, 0, 1000)
    start = time.monotonic()
    chosen = covering(space, samples, seed)
    others = random_architectures(space, held_out, seed + 1, without=chosen) if held_out else []
    found: list[Measured] = []
    for one in measured(device, [*chosen, *others], Settings(threads, BLOCKS), store, fresh):
        found.append(one)
        if progress is not None:
            progress(len(found), samples + held_out, one.measurement)
    fitted, rest = found[:samples], found[samples:]
    predictor = fit(fitted, prior, space=name)
    judged = {}
    if rest:
        truth, base = common_speed(rest)
        predicted = [predictor.predict(m.architecture).latency_ms for m in rest]
        if base and predictor.reference_ms:  # both at the speed of the fitted ones
            truth = [ms * predictor.reference_ms / base for ms in truth]
        judged = quality(predicted, truth)
    return replace(predictor, seconds=time.monotonic() - start, quality=judged)
