"""This machine's CPU as a device."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from candidates import Architecture, InputError
from latency import machine
from latency.bursts import Block, Inference, block
from latency.device import alone
from latency.measurement import Measurement
from latency.model import Model
from latency.profiling import operation_times
from latency.recording import record
from latency.runtimes import Runtime
from latency.settings import Settings
from latency.summary import Summary, median, objections, summarise

REFERENCE = "mnasnet-a1"
MIN_CPU_SHARE = 0.90  # of a core, below which other processes are in the way
MOST_THREADS = 8  # for each core; with more, a measurement does not come to an end
MAX_OTHERS = 0.75  # of all cores in use by others


class HostDevice:
    """One runtime on this machine's CPU.

    It remembers the reference model's speed over all of its measurements: that is the session whose median
    speed each latency refers to.
    """

    def __init__(self, name: str, runtime: Runtime) -> None:
        self.name = name
        self._runtime = runtime
        self._references: dict[int, Inference] = {}
        self._speeds: dict[int, list[float]] = {}

    @property
    def formats(self) -> tuple[str, ...]:
        return (self._runtime.form,)

    def fingerprint(self) -> str:
        return machine.fingerprint()

    def runtime(self, form: str) -> tuple[str, str]:
        if form != self._runtime.form:
            other = "cpu:litert" if form == "tflite" else "cpu"
            raise InputError(
                f"{self.name} cannot run .{form} files (it runs .{self._runtime.form} only); "
                f"--device {other} does"
            )
        return self._runtime.name, self._runtime.version()

    def opened(self) -> AbstractContextManager[None]:
        return nullcontext()

    def operation_times(self, arch: Architecture, threads: int) -> Mapping[int, float] | None:
        if self._runtime.form != "onnx":
            return None
        with alone("cpu"):
            return operation_times(arch, threads)

    def measure(self, model: Model, settings: Settings) -> Measurement:
        cores = machine.cores()
        if settings.threads > MOST_THREADS * cores:
            raise InputError(
                f"threads is {settings.threads}, but this machine has {cores} core(s); expected fewer"
            )
        self.runtime(model.form_on(self.formats))  # refuses what it cannot run
        content = model.content(self._runtime.form, settings.batch)
        with alone("cpu"):
            start = time.perf_counter()
            reference = self._reference(settings.threads) if settings.reference else None
            ticks = machine.ticks()
            before = machine.reset_peak_memory()
            blocks, loads = self._blocks(model, content, reference, settings)
            peak = machine.peak_memory()
            others = machine.others_load(ticks, machine.ticks())
            seconds = time.perf_counter() - start
        summary = self._summary(blocks, settings.threads)
        cpu_share = min(b.cpu_share for b in blocks) if settings.threads == 1 else None
        reasons = objections(summary.cv, summary.drift, summary.count, settings.min_runs)
        reasons += _company(cpu_share, others)
        if settings.threads > cores:
            reasons.append(f"{settings.threads} threads had to share {cores} core(s)")
        return record(
            self,
            model,
            settings,
            summary,
            (self._runtime.name, self._runtime.version()),
            reasons,
            blocks=len(blocks),
            warmup=sum(b.warmup for b in blocks),
            reference=REFERENCE if reference else None,
            load_ms=median(loads),
            peak_memory_mb=None if before is None or peak is None else max(0.0, (peak - before) / 1024),
            cpu=machine.cpu_model(),
            seconds=seconds,
            conditions={"cpu_share": cpu_share, "others_load": others},
        )

    def load(self, model: Model, threads: int) -> Inference:
        """One inference of `model` per call, for timing that is not a plain measurement."""
        return self._runtime.load(model.content(self._runtime.form), threads, model.name)

    def _blocks(
        self, model: Model, content: bytes, reference: Inference | None, settings: Settings
    ) -> tuple[list[Block], list[float]]:
        blocks, loads = [], []
        share = max(1, -(-settings.min_runs // settings.blocks))
        if settings.blocks > 1:
            share = max(share, settings.min_runs // 2)
        collecting = gc.isenabled()
        gc.disable()  # a collection would land in some run
        try:
            for _ in range(settings.blocks):
                start = time.perf_counter()
                infer = self._runtime.load(content, settings.threads, model.name, settings.batch)
                loads.append(1000.0 * (time.perf_counter() - start))
                seconds = settings.min_seconds if settings.blocks == 1 else settings.min_seconds / 2
                blocks.append(block(infer, reference, share, seconds))
                del infer
        finally:
            if collecting:
                gc.enable()
        return blocks, loads

    def _reference(self, threads: int) -> Inference:
        if threads not in self._references:
            from candidates import zoo

            self._references[threads] = self.load(Model(REFERENCE, architecture=zoo.load(REFERENCE)), threads)
        return self._references[threads]

    def _summary(self, blocks: list[Block], threads: int) -> Summary:
        bursts = [b.bursts for b in blocks]
        speeds = self._speeds.setdefault(threads, [])
        speeds += [b.reference_ms for block in bursts for b in block if b.reference_ms is not None]
        return summarise(bursts, median(speeds) if speeds else None)


def _company(cpu_share: float | None, others: float | None) -> list[str]:
    found = []
    if cpu_share is not None and cpu_share < MIN_CPU_SHARE:
        found.append(
            f"other processes took turns on the core: the runs got {cpu_share:.0%} of it "
            f"(at least {MIN_CPU_SHARE:.0%} is sound)"
        )
    if others is not None and others > MAX_OTHERS:
        found.append(f"other processes loaded {others:.0%} of all cores (at most {MAX_OTHERS:.0%} is sound)")
    return found
