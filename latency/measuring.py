"""Measuring one model: the one function that most callers need."""

from __future__ import annotations

import os

from candidates import Layered
from latency.device import Device
from latency.measurement import Measurement
from latency.model import Model, model_of
from latency.settings import Settings


def measure(
    model: str | os.PathLike[str] | Layered | Model,
    device: str | Device = "cpu",
    threads: int = 1,
    *,
    blocks: int = 3,
    min_runs: int = 50,
    min_seconds: float = 0.5,
    reference: bool = True,
) -> Measurement:
    """Measure `model` (a path to .onnx or .tflite, or an Architecture) on `device`, and return a Measurement.

    `blocks=1` is the short form for a search (about a second for an 8 ms model); three invocations, the
    default, are for numbers that are reported. `min_runs` and `min_seconds` are the least that is timed in
    all. Raises InputError for a wrong model, device or setting, RunError where the device fails.
    """
    from latency.registry import by_format, resolve

    settings = Settings(threads, blocks, min_runs, min_seconds, reference)
    wanted = model_of(model)
    found = by_format(resolve(device), wanted.formats) if isinstance(device, str) else device
    return found.measure(wanted, settings)
