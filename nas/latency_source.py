"""Where a search's latencies come from: the device itself, or a predictor of it while the search goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from candidates import Architecture
from candidates.errors import InputError
from nas.evaluation import Measured

if TYPE_CHECKING:
    from latency.device import Device
    from latency.predictor import Predictor

SOURCES = ("measure", "predict", "auto")


@dataclass(frozen=True)
class Predicted:
    """A modelled latency in milliseconds with one standard deviation; never reported as measured."""

    latency_ms: float
    std_ms: float
    device: str
    threads: int
    valid: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "predicted": True,
            "latency_ms": self.latency_ms,
            "std_ms": self.std_ms,
            "device": self.device,
            "threads": self.threads,
            "valid": True,
            "reasons": [],
        }


def predictor_for(device: Device, threads: int, source: str) -> Predictor | None:
    """The device's stored predictor, or None where `source` does not ask for one.

    `predict` needs one and raises InputError where there is none; `auto` takes it where it is there.
    """
    if source == "measure":
        return None
    from latency.predictor import runtime_of
    from nas.devices import stored_predictor

    found = stored_predictor(device, threads)
    if found is None and source == "predict":
        runtime = " ".join(runtime_of(device))
        raise InputError(
            f"--latency predict: there is no predictor for {device.name} with {threads} thread(s) and {runtime}; "
            f"make one by nas-latency calibrate --device {device.name}, or use --latency measure"
        )
    return found


def predicting(
    predictor: Predictor, measure: Callable[[Architecture], Measured]
) -> Callable[[Architecture], Measured]:
    """Predict where the predictor knows its ground, and `measure` elsewhere."""

    def latency(arch: Architecture) -> Measured:
        found = predictor.predict(arch)
        if not found.inside:
            return measure(arch)
        return Predicted(found.latency_ms, found.std_ms, predictor.device, predictor.threads)

    return latency
