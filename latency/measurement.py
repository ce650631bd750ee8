"""Measurement: a latency with all that is needed to judge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from candidates import checks

FORMAT = 1


@dataclass(frozen=True)
class Measurement:
    """How long one inference of a model takes on a device. Times in milliseconds, shares from 0 to 1.

    `latency_ms` is the median of the blocks' medians (a block is one invocation: load, warm-up, timed runs);
    `p5_ms`, `p95_ms` and `cv` (robust: IQR / 1.349 / median) are over all `count` timed runs. On a host the
    times are at the median speed that a reference model had in the session; `raw_ms` is the median as the
    clock gave it, `reference_ms` the reference's own median during this measurement and `drift` how far it
    moved. One inference is of `batch` images, all of which the times are for. `interval_ms` is a 95 % confidence interval of the median. `load_ms` is the median time to load the
    model, `peak_memory_mb` how much this process grew at most (on a phone: all memory of the runner).
    `valid` is false when one of `reasons` speaks against the number.
    """

    model: str
    latency_ms: float
    p5_ms: float
    p95_ms: float
    cv: float
    count: int
    threads: int
    device: str
    runtime: str
    runtime_version: str
    valid: bool = True
    reasons: tuple[str, ...] = ()
    interval_ms: tuple[float, float] | None = None
    batch: int = 1
    blocks: int = 1
    block_medians_ms: tuple[float, ...] = ()
    warmup: int = 0
    raw_ms: float | None = None
    reference: str | None = None
    reference_ms: float | None = None
    drift: float | None = None
    load_ms: float | None = None
    peak_memory_mb: float | None = None
    cpu: str | None = None
    digest: str | None = None
    fingerprint: str | None = None
    resolution: int | None = None
    measured_at: str | None = None
    seconds: float | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frames_per_second(self) -> float:
        """Images in a second, at the median latency."""
        return 1000.0 * self.batch / self.latency_ms

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with a `format` number."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measurement:
        """Read what `to_dict` gave, also after JSON; raises InputError for anything else."""
        given = checks.mapping("a measurement", dict(values))
        checks.format_number("the measurement", given, FORMAT)
        known = {f.name: f for f in fields(cls)}
        checks.known_keys("the measurement", given, ["format", *known])
        return cls(**_checked(given))


_TEXTS = ("model", "device", "runtime", "runtime_version")
_OPTIONAL_TEXTS = ("reference", "cpu", "digest", "fingerprint", "measured_at")
_TIMES = ("latency_ms", "p5_ms", "p95_ms")
_OPTIONAL_NUMBERS = ("raw_ms", "reference_ms", "drift", "load_ms", "peak_memory_mb", "seconds")


def _checked(given: Mapping[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _TEXTS:
        found[name] = checks.text(f"the measurement's {name}", given.get(name))
    for name in _TIMES:
        found[name] = checks.positive(f"the measurement's {name}", given.get(name))
    found["cv"] = checks.number("the measurement's cv", given.get("cv"))
    for name in ("count", "threads"):
        found[name] = checks.integer(f"the measurement's {name}", given.get(name))
    for name in _OPTIONAL_TEXTS:
        if given.get(name) is not None:
            found[name] = checks.text(f"the measurement's {name}", given[name])
    for name in _OPTIONAL_NUMBERS:
        if given.get(name) is not None:
            found[name] = checks.number(f"the measurement's {name}", given[name])
    for name, minimum in (("batch", 1), ("blocks", 1), ("warmup", 0), ("resolution", 1)):
        if given.get(name) is not None:
            found[name] = checks.integer(f"the measurement's {name}", given[name], minimum)
    if "valid" in given:
        checks.one_of("the measurement's valid", str(given["valid"]), ("True", "False"))
        found["valid"] = given["valid"] is True
    if "reasons" in given:
        found["reasons"] = tuple(checks.text("a reason", r) for r in _listed("reasons", given["reasons"]))
    for name in ("interval_ms", "block_medians_ms"):
        if given.get(name) is not None:
            found[name] = tuple(checks.number(name, v) for v in _listed(name, given[name]))
    if "conditions" in given:
        found["conditions"] = checks.mapping("the measurement's conditions", given["conditions"])
    return found


def _listed(name: str, value: object) -> list[object]:
    return checks.sequence(f"the measurement's {name}", list(value) if isinstance(value, tuple) else value)
