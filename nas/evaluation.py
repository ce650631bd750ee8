"""What is found out about one architecture: its latency first, then, if it is fast enough, its accuracy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from candidates import Architecture


class Measured(Protocol):
    """What the search uses of a Measurement."""

    @property
    def latency_ms(self) -> float:
        """Median latency in milliseconds."""
        ...

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against the number."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ...


class Trained(Protocol):
    """What the search uses of a training's outcome."""

    @property
    def accuracy(self) -> float:
        """Validation accuracy, 0 to 1."""
        ...

    @property
    def loss(self) -> float:
        """Validation loss."""
        ...


Measure = Callable[[Architecture], Measured]
Train = Callable[[Architecture, int], Trained]


@dataclass(frozen=True)
class Evaluation:
    """An architecture's latency and, unless it was too slow to be trained, its accuracy."""

    latency_ms: float
    measurement: dict[str, Any]
    accuracy: float | None = None
    loss: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def attributes(self) -> dict[str, Any]:
        """What the study keeps of this."""
        found: dict[str, Any] = {
            "latency_ms": self.latency_ms,
            "measurement": self.measurement,
            **{f"{name}_seconds": seconds for name, seconds in self.seconds.items()},
        }
        if self.accuracy is not None:
            found |= {"accuracy": self.accuracy, "loss": self.loss}
        return found


@dataclass(frozen=True)
class Evaluator:
    """Measures with `measure` and trains with `train`, in that order.

    `deploy` turns a space's architecture into the one that is deployed and measured; what is slower than
    `most_ms` is not trained.
    """

    deploy: Callable[[Architecture], Architecture]
    measure: Measure
    train: Train
    most_ms: float
    seed: int

    def __call__(self, base: Architecture) -> Evaluation:
        """Evaluate the space's architecture `base`."""
        start = time.perf_counter()
        measured = self.measured_twice(self.deploy(base))
        seconds = {"measuring": time.perf_counter() - start}
        if measured.latency_ms > self.most_ms:
            return Evaluation(measured.latency_ms, measured.to_dict(), seconds=seconds)
        start = time.perf_counter()
        trained = self.train(base, self.seed)
        seconds["training"] = time.perf_counter() - start
        return Evaluation(
            measured.latency_ms, measured.to_dict(), trained.accuracy, _finite(trained.loss), seconds
        )

    def measured_twice(self, arch: Architecture) -> Measured:
        """A measurement; one that is not valid is taken once more, then used as it is, flagged."""
        measured = self.measure(arch)
        return measured if measured.valid else self.measure(arch)


def _finite(value: float) -> float | None:
    """None for what JSON cannot hold."""
    return value if abs(value) < float("inf") else None
