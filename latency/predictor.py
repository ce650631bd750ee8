"""Predictor: a model of one device's latency, fitted to measurements on it; stored as JSON.

For a search that predicts (`--latency predict` or `auto`), the whole use is

    predictor = Predictor.load(path)
    found = predictor.predict(arch)
    if found.inside: use found.latency_ms, give or take found.std_ms
    else: measure instead (found.reasons say why)

and `stored(device, threads)` finds the predictor that `nas-latency calibrate` made for a device and for what
runs models on it now. A predicted latency is never a measured one: whatever is reported gets measured.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from candidates import Architecture, InputError, checks
from candidates.files import read_text, write_text
from latency.device import Device
from latency.features import SETS
from latency.folders import cache_folder

FORMAT = 1
FAR = 1.25  # a latency this much beyond the slowest (or below the fastest) measured is outside
STRANGE = 2.0  # and so is a leverage this many times the largest among the measured


@dataclass(frozen=True)
class Prediction:
    """A modelled latency in milliseconds, one standard deviation, and whether the model may be asked this."""

    latency_ms: float
    std_ms: float
    inside: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictor:
    """Latency as a sum over an architecture's groups of operations (see latency.features).

    A group takes what `table` lists for its signature, where it was seen, and otherwise the non-negative sum
    of its features times `coefficients` (milliseconds per unit); a kind's groups together are multiplied by
    the kind's factor in `scales`. `spread` is the relative error on architectures that it was not fitted to,
    `spread_unlisted` the same without the table. `precision` is the inverse of the fitted architectures'
    Gram matrix over the kinds' shares of the latency (kinds × kinds, in the order of `scales`), from which
    the leverage of an architecture follows, and `leverage` the largest among the fitted ones. `quality`
    holds what held-out architectures showed.
    """

    device: str
    features: str
    coefficients: Mapping[str, float]
    scales: Mapping[str, float]
    spread: float
    precision: tuple[tuple[float, ...], ...]
    leverage: float
    range_ms: tuple[float, float]
    samples: int
    table: Mapping[str, float] = field(default_factory=dict)
    spread_unlisted: float = 0.0
    threads: int = 1
    runtime: str = ""
    runtime_version: str = ""
    fingerprint: str = ""
    space: str = ""
    source: str = "measurements"
    reference_ms: float = 0.0
    seconds: float = 0.0
    quality: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, arch: Architecture) -> Prediction:
        """The latency that this device would show, with its uncertainty, in under a millisecond."""
        by_kind: dict[str, float] = {}
        unlisted = 0.0
        for group in SETS[self.features](arch):
            ms = self.table.get(group.signature)
            scale = self.scales.get(group.kind, 1.0)
            if ms is None:
                ms = sum(v * self.coefficients.get(name, 0.0) for name, v in group.features.items())
                unlisted += ms * scale
            by_kind[group.kind] = by_kind.get(group.kind, 0.0) + ms
        latency = sum(ms * self.scales.get(kind, 1.0) for kind, ms in by_kind.items())
        if not latency > 0:
            return Prediction(
                self.range_ms[0], math.inf, False, ("none of its operations was ever measured",)
            )
        leverage = self._leverage(by_kind, latency)
        reasons = self._outside(by_kind, latency, leverage)
        spread = self.spread
        if self.table:
            spread += max(0.0, self.spread_unlisted - self.spread) * unlisted / latency
        return Prediction(latency, latency * spread * math.sqrt(1.0 + leverage), not reasons, reasons)

    @cached_property
    def _matrix(self) -> Any:
        import numpy as np

        return np.array(self.precision)

    def _leverage(self, by_kind: Mapping[str, float], latency: float) -> float:
        import numpy as np

        row = np.array([by_kind.get(kind, 0.0) * scale / latency for kind, scale in self.scales.items()])
        return float(row @ self._matrix @ row)

    def _outside(self, by_kind: Mapping[str, float], latency: float, leverage: float) -> tuple[str, ...]:
        reasons = []
        strange = sorted(kind for kind in by_kind if kind not in self.scales)
        if strange:
            reasons.append(f"it was never fitted to {', '.join(strange)}")
        low, high = self.range_ms
        if not low / FAR <= latency <= high * FAR:
            reasons.append(f"{latency:.2f} ms is far from what was measured ({low:.2f} to {high:.2f} ms)")
        if leverage > STRANGE * self.leverage:
            reasons.append("its mix of operations is unlike what was measured")
        return tuple(reasons)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with a `format` number."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Predictor:
        """Read what `to_dict` gave, also after JSON; raises InputError for anything else."""
        given = checks.mapping("a predictor", dict(values))
        checks.format_number("the predictor", given, FORMAT)
        names = [f.name for f in fields(cls)]
        checks.known_keys("the predictor", given, ["format", *names])
        return cls(**_checked({name: given[name] for name in names if name in given}))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON in one step."""
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Predictor:
        """Read from a JSON file; an InputError names the file."""
        text = read_text(path)
        try:
            return cls.from_dict(checks.mapping("a predictor", json.loads(text)))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{os.fspath(path)}: {error}") from None


def stored_path(device: Device, threads: int) -> Path:
    """Where the predictor for a device is kept in the user's cache folder.

    By its fingerprint, since a phone goes by several names, and by what runs models on it, with the version:
    another version of a runtime may take several times as long.
    """
    runtime, version = runtime_of(device)
    word = re.sub(r"[^A-Za-z0-9.-]", "_", f"{runtime}-{version}-{device.fingerprint()}-t{threads}")
    return cache_folder() / "predictors" / f"{word}.json"


def stored(device: Device, threads: int) -> Predictor | None:
    """The predictor that `calibrate` made for this device as it runs models now, or None."""
    path = stored_path(device, threads)
    return Predictor.load(path) if path.is_file() else None


def runtime_of(device: Device) -> tuple[str, str]:
    """Name and version of what runs architectures on a device, in the format that it prefers."""
    return device.runtime(next(iter(device.formats), ""))  # a GPU's PyTorch reads no files


_NEEDED = (
    "device",
    "features",
    "coefficients",
    "scales",
    "spread",
    "precision",
    "leverage",
    "range_ms",
    "samples",
)


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    for name in _NEEDED:
        if name not in given:
            raise InputError(f"the predictor has no {name}")
    for name in ("device", "runtime", "runtime_version", "fingerprint", "space", "source"):
        if name in given:
            checks.text(f"the predictor's {name}", given[name])
    checks.one_of("the predictor's features", given["features"], tuple(SETS))
    for name in ("spread", "spread_unlisted", "leverage", "reference_ms", "seconds"):
        if name in given:
            given[name] = checks.number(f"the predictor's {name}", given[name])
    for name in ("samples", "threads"):
        if name in given:
            checks.integer(f"the predictor's {name}", given[name])
    for name in ("coefficients", "scales", "table"):
        values = checks.mapping(f"the predictor's {name}", given.get(name, {}))
        given[name] = {key: checks.number(f"{name}: {key}", value) for key, value in values.items()}
    size = len(given["scales"])
    given["precision"] = tuple(_row(row, size) for row in _list("precision", given["precision"]))
    if len(given["precision"]) != size:
        raise InputError(f"the predictor's precision has {len(given['precision'])} rows; expected {size}")
    given["range_ms"] = _row(given["range_ms"], 2)
    checks.mapping("the predictor's quality", given.get("quality", {}))
    return given


def _list(name: str, value: object) -> list[object]:
    return checks.sequence(f"the predictor's {name}", list(value) if isinstance(value, tuple) else value)


def _row(value: object, length: int) -> tuple[float, ...]:
    row = tuple(checks.number("the predictor's number", v, -math.inf) for v in _list("row", value))
    if len(row) != length:
        raise InputError(f"a row of the predictor has {len(row)} numbers; expected {length}")
    return row
