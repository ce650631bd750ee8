"""What is found out about one architecture: its latency first, then, if it is fast enough, its accuracy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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

    @property
    def stopped(self) -> bool:
        """Whether the training was ended early."""
        ...


Measure = Callable[[Architecture], Measured]


class Train(Protocol):
    """Trains an architecture from the weights that a seed gives."""

    def __call__(self, arch: Architecture, seed: int, watch: Watch | None = None) -> Trained:
        """Train; after each epoch `watch` is told the accuracies so far and may ask to stop."""
        ...


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


Watch = Callable[[Sequence[float]], bool]
"""Told the validation accuracies after the epochs so far; answers whether to stop the training.

All of them each time, so that a training that begins again, in another process or with a smaller batch, is a new one.
"""


@dataclass(frozen=True)
class Evaluator:
    """Measures with `measure` and trains with `train`, in that order.

    `deploy` turns a space's architecture into the one that is deployed and measured; what is `too_slow` is
    not trained. With `epoch_by_epoch` a training's accuracy is watched after every epoch, by a watch that
    `relayed` makes fit for where the training runs.
    """

    deploy: Callable[[Architecture], Architecture]
    measure: Measure
    train: Train
    too_slow: Callable[[Evaluation], bool]
    seed: int
    epoch_by_epoch: bool = False
    relayed: Callable[[Watch], Watch] = lambda watch: watch

    def latency(self, base: Architecture) -> Evaluation:
        """Measure the space's architecture `base` as it is deployed.

        A measurement that is not valid is taken once more, then used as it is, flagged.
        """
        start = time.perf_counter()
        arch = self.deploy(base)
        measured = self.measure(arch)
        if not measured.valid:
            measured = self.measure(arch)
        seconds = {"measuring": time.perf_counter() - start}
        return Evaluation(measured.latency_ms, measured.to_dict(), seconds=seconds)

    def training(self, watch: Watch, label: str = "training") -> Training:
        """What a worker is to do with a candidate; `watch` may end it early, `label` says it to people."""
        return Training(self.train, self.seed, self.relayed(watch) if self.epoch_by_epoch else None, label)


@dataclass(frozen=True)
class Training:
    """Trains a space's architecture whose latency is known; runs wherever `train` and `watch` can be sent."""

    train: Train
    seed: int
    watch: Watch | None
    label: str = "training"

    def __call__(self, base: Architecture, known: Evaluation) -> Evaluation:
        start = time.perf_counter()
        trained = self.train(base, self.seed, self.watch)
        seconds = {**known.seconds, "training": time.perf_counter() - start}
        if trained.stopped:
            return replace(known, seconds=seconds)
        return replace(known, accuracy=trained.accuracy, loss=_finite(trained.loss), seconds=seconds)


def _finite(value: float) -> float | None:
    """None for what JSON cannot hold."""
    return value if abs(value) < float("inf") else None
