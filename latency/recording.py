"""A Measurement from what was timed: the part that every device fills in alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from latency.device import Device
from latency.measurement import Measurement
from latency.model import Model
from latency.settings import Settings
from latency.summary import Summary


def record(
    device: Device,
    model: Model,
    settings: Settings,
    summary: Summary,
    runtime: tuple[str, str],
    reasons: Sequence[str],
    **more: Any,
) -> Measurement:
    """The Measurement of `model` on `device`; `more` is what only this kind of device knows.

    `runtime` is its name and version, `reasons` what speaks against the number.
    """
    name, version = runtime
    return Measurement(
        model=model.name,
        latency_ms=summary.latency_ms,
        p5_ms=summary.p5_ms,
        p95_ms=summary.p95_ms,
        cv=summary.cv,
        count=summary.count,
        threads=settings.threads,
        device=device.name,
        runtime=name,
        runtime_version=version,
        valid=not reasons,
        reasons=tuple(dict.fromkeys(reasons)),
        interval_ms=summary.interval_ms,
        batch=settings.batch,
        block_medians_ms=summary.block_medians_ms,
        raw_ms=summary.raw_ms,
        reference_ms=summary.reference_ms,
        drift=summary.drift,
        digest=model.digest(),
        fingerprint=device.fingerprint(),
        resolution=model.resolution,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    )
