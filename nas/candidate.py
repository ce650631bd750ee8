"""A candidate: an architecture with what was found out about it, as JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from candidates import Architecture, Baseline, checks
from candidates.errors import InputError
from candidates.files import read_text, write_text
from candidates.reading import network_from_dict

FORMAT = 1
CANDIDATE = "candidate.json"  # the file beside trained or exported weights
_KEYS = (
    "format",
    "id",
    "architecture",
    "accuracy",
    "latency_ms",
    "measurement",
    "reward",
    "parameters",
    "multiply_adds",
    "within_target",
    "warning",
    "untrained",
    "found",
)


@dataclass(frozen=True)
class Candidate:
    """`accuracy` is from 0 to 1, of the proxy; `measurement` is the latency's record, `found` the accuracy's.

    What is not known (a bare architecture has neither) is None. `untrained` says that weights which lie beside
    the candidate are initial ones, for measuring and wiring up, whatever the proxy's accuracy is.
    """

    architecture: Architecture | Baseline
    accuracy: float | None = None
    latency_ms: float | None = None
    measurement: Mapping[str, Any] | None = None
    reward: float | None = None
    within_target: bool | None = None
    found: Mapping[str, Any] = field(default_factory=dict)
    warning: str | None = None
    untrained: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values: dict[str, Any] = {
            "format": FORMAT,
            "id": self.architecture.id,
            "architecture": json.loads(self.architecture.to_json()),
            "accuracy": self.accuracy,
            "latency_ms": self.latency_ms,
            "measurement": None if self.measurement is None else dict(self.measurement),
            "reward": self.reward,
            "parameters": self.architecture.parameters(),
            "multiply_adds": self.architecture.multiply_adds(),
        }
        if self.within_target is not None:
            values["within_target"] = self.within_target
        if self.warning is not None:
            values["warning"] = self.warning
        if self.untrained:
            values["untrained"] = True
        if self.found:
            values["found"] = dict(self.found)
        return values

    def to_json(self) -> str:
        """One JSON document that `from_json` reads."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json()` in one step."""
        write_text(path, self.to_json())

    @classmethod
    def from_json(cls, text: str) -> Candidate:
        """Read a candidate's JSON, or an architecture's."""
        values = checks.parsed_json("a candidate's or an architecture's text", text)
        if "architecture" not in values:
            return cls(network_from_dict(values))
        checks.format_number("the candidate", values, FORMAT)
        checks.known_keys("the candidate", values, _KEYS)
        arch = network_from_dict(checks.mapping("the candidate's architecture", values["architecture"]))
        if values.get("id", arch.id) != arch.id:
            raise InputError(
                f"the candidate's id is {checks.shown(values['id'])} but its architecture's is {arch.id}"
            )
        within = values.get("within_target")
        if within not in (None, True, False):
            raise InputError(
                f"the candidate's within_target is {checks.shown(within)}; expected true or false"
            )
        untrained = values.get("untrained", False)
        if untrained not in (True, False):
            raise InputError(
                f"the candidate's untrained is {checks.shown(untrained)}; expected true or false"
            )
        measurement = values.get("measurement")
        return cls(
            arch,
            _optional(values, "accuracy", 1.0),
            _optional(values, "latency_ms"),
            None if measurement is None else checks.mapping("the candidate's measurement", measurement),
            _optional(values, "reward"),
            None if within is None else bool(within),
            checks.mapping("the candidate's found", values.get("found", {})),
            None if values.get("warning") is None else checks.text("the warning", values["warning"]),
            bool(untrained),
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Candidate:
        """Read a candidate from a file; an InputError names it."""
        text = read_text(path)
        try:
            return cls.from_json(text)
        except InputError as error:
            raise InputError(f"{os.fspath(path)}: {error}") from None


def _optional(values: Mapping[str, object], name: str, most: float = math.inf) -> float | None:
    value = values.get(name)
    return None if value is None else checks.number(f"the candidate's {name}", value, 0.0, most)
