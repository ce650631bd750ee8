"""A search's settings: all that decides what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from candidates import checks
from candidates.errors import InputError
from nas.latency_source import SOURCES
from nas.reward import HARD, SOFT
from nas.samplers import names as sampler_names
from nas.targets import Targets

PRUNERS = ("none", "median", "hyperband")
OBJECTIVES = ("soft", "hard", "pareto")
TARGETS = (1e-6, 1e6)  # milliseconds
# Options that are whole numbers, with the least and the most that each can be. torch's generators take
# seeds of 64 bits; the sizes are what memory can hold.
_WHOLE = {
    "threads": (1, 1024),
    "trials": (1, 1_000_000),
    "epochs": (1, 10_000),
    "resolution": (1, 4096),
    "seed": (0, 2**63 - 2),
    "confirm": (0, 1_000_000),
    "classes": (2, 1_000_000),
    "proxy_resolution": (2, 1024),
    "proxy_samples": (2, 1_000_000_000),
    "workers": (1, 10_000),
    "measure_cores": (0, 1024),
    "per_gpu": (1, 100),
    "retries": (0, 100),
}
# How a search is carried out, not what it finds: a resume may change these.
_FREE = (
    "trials", "workers", "measure_cores", "gpus", "per_gpu", "retries", "trial_timeout", "device_timeout", "ray",
)  # fmt: skip
_OPTIONAL = ("classes", "proxy_resolution", "proxy_samples")


@dataclass(frozen=True)
class SearchSettings:
    """What the user asked for. None stands for a default that depends on the data or the machine.

    `resolution` and `classes` are those of the network that is deployed and measured; `proxy_resolution` is
    what the proxy trains at. `also` has the targets on further devices, in milliseconds by name. `latency` is where latencies come from while searching: `measure`, `predict`, or
    `auto` (predict where there is a predictor, and measure what reaches the front). `alpha` and `beta` are the reward's exponents within and over the target.
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
    latency: str = "measure"
    pruner: str = "none"
    warm_start: str | None = None
    max_parameters: int | None = None
    max_multiply_adds: int | None = None
    max_size_mb: float | None = None
    max_memory_mb: float | None = None
    also: dict[str, float] = field(default_factory=dict)
    workers: int = 1
    measure_cores: int = 0
    gpus: str | None = None
    per_gpu: int = 1
    retries: int = 1
    trial_timeout: float | None = None
    device_timeout: float = 60.0
    ray: str | None = None
    storage: str | None = None
    study: str = "search"

    def __post_init__(self) -> None:
        checks.positive("target-ms", self.target_ms)
        checks.number("target-ms", self.target_ms, *TARGETS)
        for name in ("space", "device", "data"):
            checks.text(name, getattr(self, name))
        checks.one_of("sampler", self.sampler, sampler_names())
        checks.one_of("objective", self.objective, OBJECTIVES)
        checks.one_of("latency", self.latency, SOURCES)
        checks.one_of("pruner", self.pruner, PRUNERS)
        if self.warm_start is not None:
            checks.text("warm-start", self.warm_start)
            if self.sampler != "surrogate":
                raise InputError(f"--warm-start is for the surrogate sampler, not for {self.sampler}")
        for name in ("max_parameters", "max_multiply_adds"):
            if getattr(self, name) is not None:
                checks.integer(name.replace("_", "-"), getattr(self, name))
        for name in ("max_size_mb", "max_memory_mb"):
            if getattr(self, name) is not None:
                checks.positive(name.replace("_", "-"), getattr(self, name))
        for name, (least, most) in _WHOLE.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                checks.integer(name.replace("_", "-"), value, least, most)
        for name in ("alpha", "beta"):
            if getattr(self, name) is not None:
                checks.number(name, getattr(self, name), -10.0, 0.0)
        for name, target in checks.mapping("also", self.also).items():
            checks.text("also", name)
            checks.positive(f"target {name}", target)
            checks.number(f"target {name}", target, *TARGETS)
        if self.trial_timeout is not None:
            checks.positive("trial-timeout", self.trial_timeout)
        checks.number("device-timeout", self.device_timeout)
        checks.text("study", self.study)
        if self.ray is not None:
            checks.text("ray", self.ray)
            if self.measure_cores:
                raise InputError("--measure-cores is for workers of this machine, not for --ray")
        if self.storage is not None:
            checks.text("storage", self.storage)
        if self.gpus is not None:
            checks.text("gpus", self.gpus)
        if self.device in self.also:
            raise InputError(f"the device {self.device} has two targets; expected each device once")
        if self.also and self.objective == "pareto":
            raise InputError(
                "the pareto objective takes one device; use --objective soft or hard with several"
            )
        checks.number("max-latency-factor", self.max_latency_factor, 1.0, 1e6)

    @property
    def exponents(self) -> tuple[float, float]:
        """The reward's alpha and beta: as given, else those of the objective."""
        alpha, beta = HARD if self.objective == "hard" else SOFT
        return (alpha if self.alpha is None else self.alpha, beta if self.beta is None else self.beta)

    @property
    def targets(self) -> Targets:
        """The targets on all devices, with the reward's exponents."""
        return Targets((self.target_ms, *self.also.values()), *self.exponents)

    @property
    def goal(self) -> str:
        """The targets in words."""
        if not self.also:
            return f"{self.target_ms:g} ms"
        pairs = zip(self.devices, self.targets.ms, strict=True)
        return " and ".join(f"{ms:g} ms on {name}" for name, ms in pairs)

    @property
    def devices(self) -> tuple[str, ...]:
        """All devices' names, the main one's first."""
        return (self.device, *self.also)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> SearchSettings:
        """Read what `to_dict` gave."""
        given = checks.mapping("settings", dict(values))
        checks.known_keys("settings", given, [f.name for f in fields(cls)])
        if "target_ms" not in given:
            raise InputError("settings have no target_ms; expected a number of milliseconds")
        return cls(**given)  # type: ignore[arg-type] # __post_init__ checks the values

    def resumed(self, given: Mapping[str, Any]) -> SearchSettings:
        """These settings with a new number of trials or workers; what else differs is refused by name."""
        for name, value in given.items():
            before = getattr(self, name)
            if name not in _FREE and value != before:
                option = "target" if name == "also" else name.replace("_", "-")
                raise InputError(
                    f"--{option} is {value!r}, but the run was started with {before!r}; "
                    f"leave --{option} out, or start a new run"
                )
        free = {name: value for name, value in given.items() if name in _FREE}
        # One kind of workers takes the place of another; what belonged to the former has no meaning any more.
        ray = free.get("ray", self.ray)
        if ray is not None:
            free.setdefault("measure_cores", 0)
        elif "workers" in free:
            free.setdefault("gpus", None)
        gpus = free.get("gpus", self.gpus)
        if gpus is None:
            free.setdefault("per_gpu", 1)
        elif ray is None:
            free.setdefault("workers", 1)
        return replace(self, **free)
