"""A search's settings: all that decides what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from candidates import checks
from candidates.errors import InputError
from nas.reward import HARD, SOFT
from nas.samplers import names as sampler_names

OBJECTIVES = ("soft", "hard", "pareto")


@dataclass(frozen=True)
class SearchSettings:
    """What the user asked for. None stands for a default that depends on the data or the machine.

    `resolution` and `classes` are those of the network that is deployed and measured; `proxy_resolution` is
    what the proxy trains at. `alpha` and `beta` are the reward's exponents within and over the target.
    """

    target_ms: float
    space: str = "mnasnet"
    device: str = "auto"
    threads: int = 1
    data: str = "digits"
    sampler: str = "surrogate"
    objective: str = "soft"
    alpha: float | None = None
    beta: float | None = None
    trials: int = 30
    seed: int = 0
    epochs: int = 5
    resolution: int = 224
    classes: int | None = None
    proxy_resolution: int | None = None
    proxy_samples: int | None = None
    max_latency_factor: float = 2.0
    confirm: int = 2

    def __post_init__(self) -> None:
        checks.positive("target-ms", self.target_ms)
        checks.one_of("sampler", self.sampler, sampler_names())
        checks.one_of("objective", self.objective, OBJECTIVES)
        for name in ("threads", "trials", "epochs", "resolution"):
            checks.integer(name, getattr(self, name), maximum=1_000_000)
        for name in ("seed", "confirm"):
            checks.integer(name, getattr(self, name), minimum=0)
        for name in ("classes", "proxy_resolution", "proxy_samples"):
            if getattr(self, name) is not None:
                checks.integer(name.replace("_", "-"), getattr(self, name), minimum=2)
        for name in ("alpha", "beta"):
            if getattr(self, name) is not None:
                checks.number(name, getattr(self, name), -100.0, 0.0)
        checks.number("max-latency-factor", self.max_latency_factor, 1.0)

    @property
    def exponents(self) -> tuple[float, float]:
        """The reward's alpha and beta: as given, else those of the objective."""
        alpha, beta = HARD if self.objective == "hard" else SOFT
        return (alpha if self.alpha is None else self.alpha, beta if self.beta is None else self.beta)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> SearchSettings:
        """Read what `to_dict` gave."""
        given = checks.mapping("settings", dict(values))
        checks.known_keys("settings", given, [f.name for f in fields(cls)])
        return cls(**given)  # type: ignore[arg-type] # __post_init__ checks the values

    def resumed(self, given: Mapping[str, Any]) -> SearchSettings:
        """These settings with a new number of trials; anything else that differs is refused by name."""
        for name, value in given.items():
            before = getattr(self, name)
            if name != "trials" and value != before:
                option = name.replace("_", "-")
                raise InputError(
                    f"--{option} is {value!r}, but the run was started with {before!r}; "
                    f"leave --{option} out, or start a new run"
                )
        return replace(self, trials=given.get("trials", self.trials))
