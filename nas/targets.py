"""The latencies to stay within, on one device or on several at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from candidates import Architecture, checks
from candidates.errors import InputError
from nas.evaluation import Measured
from nas.reward import reward

Latencies = tuple[float, ...]
"""Milliseconds, one for each device in the order of the targets."""


@dataclass(frozen=True)
class Targets:
    """The targets in milliseconds, the main device's first, and the reward's exponents.

    `alpha` counts within a device's target and `beta` beyond it.
    """

    ms: Latencies
    alpha: float
    beta: float

    def reward(self, accuracy: float, latencies: Latencies) -> float:
        """ACC · Π (LAT / T)^w over the devices (see `nas.reward.reward`)."""
        score = accuracy
        for latency, target in zip(latencies, self.ms, strict=True):
            score = reward(score, latency, target, self.alpha, self.beta)
        return score

    def worst(self, latencies: Latencies) -> float:
        """The greatest of latency / target: over 1 where some device's target is missed."""
        return max(latency / target for latency, target in zip(latencies, self.ms, strict=True))

    def within(self, latencies: Latencies) -> bool:
        """Whether every device's target is met."""
        return self.worst(latencies) <= 1.0


def latencies_of(latency_ms: float, measurement: Mapping[str, Any]) -> Latencies:
    """A candidate's latency on the main device, and on the others that its measurement has."""
    return (latency_ms, *(float(other["latency_ms"]) for other in measurement.get("also", {}).values()))


def is_predicted(measurement: Mapping[str, Any]) -> bool:
    """Whether some of a measurement's latencies were modelled, not measured."""
    parts = (measurement, *measurement.get("also", {}).values())
    return any(part.get("predicted", False) for part in parts)


def reasons_of(measurement: Mapping[str, Any]) -> list[str]:
    """What speaks against a measurement's numbers; none where all of them are valid."""
    reasons = [] if measurement.get("valid", True) else list(measurement.get("reasons") or ["not valid"])
    for name, other in measurement.get("also", {}).items():
        reasons += [f"{name}: {reason}" for reason in reasons_of(other)]
    return reasons


@dataclass(frozen=True)
class OnSeveral:
    """Measurements of one architecture on the main device and on others, by name."""

    main: Measured
    also: Mapping[str, Measured]

    @property
    def latency_ms(self) -> float:
        """On the main device, in milliseconds."""
        return self.main.latency_ms

    @property
    def valid(self) -> bool:
        """Whether all of them are."""
        return self.main.valid and all(other.valid for other in self.also.values())

    def to_dict(self) -> dict[str, Any]:
        """The main device's measurement; the others' under `also`."""
        return {**self.main.to_dict(), "also": {name: m.to_dict() for name, m in self.also.items()}}


def on_all(
    names: Sequence[str], measure: Sequence[Callable[[Architecture], Measured]], arch: Architecture
) -> Measured:
    """Measure `arch` on each device, one after the other."""
    main, *others = [one(arch) for one in measure]
    return OnSeveral(main, dict(zip(names[1:], others, strict=True))) if others else main


def parse_targets(texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds by device from texts such as `pixel=78`; an InputError for what is none."""
    found: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            raise InputError(
                f"--target is {text!r}; expected DEVICE=MILLISECONDS, for example pixel=78 (or --target-ms 78)"
            )
        if name in found:
            raise InputError(f"--target names {name} twice; expected each device once")
        if name == "auto":
            raise InputError("--target is for named devices, not for auto; see nas-latency devices")
        try:
            milliseconds = float(value)
        except ValueError:
            raise InputError(f"--target {name} is {value!r}; expected milliseconds, such as 78") from None
        found[name] = checks.positive(f"--target {name}", milliseconds)
    return found
