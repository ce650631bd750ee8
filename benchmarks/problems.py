"""What the samplers are compared on: a space, what a training of each point gives, and what is best."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from candidates import Architecture
from nas.samplers.acquisition import pareto_front
from nas.samplers.view import View
from search_space import Choice, Point

Array = NDArray[np.float64]

EXPONENT = -0.07  # of the soft reward, as in MnasNet


class Problem(Protocol):
    """A space with its truth. Accuracies are 0 to 1, costs multiply-adds or FLOPs."""

    name: str
    target: float  # cost at which the reward equals the accuracy

    @property
    def view(self) -> View: ...
    def observed(self, point: Point, seed: int) -> float:
        """The accuracy that one training with `seed` gives."""
        ...

    def accuracy(self, point: Point) -> float:
        """The mean accuracy."""
        ...

    def costs(self, points: Sequence[Point]) -> Array: ...
    def best(self, objective: str) -> float:
        """The greatest true value of `accuracy`, `soft`, `hard` (accuracy within the target) or `front`."""
        ...

    def area(self, pairs: Array) -> float:
        """Hypervolume of (accuracy, cost) rows, in units of the whole space's ranges."""
        ...


def soft_weight(costs: Array, target: float) -> Array:
    return np.asarray((costs / target) ** EXPONENT)


def hard_weight(costs: Array, target: float) -> Array:
    """MnasNet's hard constraint: alpha 0, beta −1."""
    return np.where(costs <= target, 1.0, target / costs)


def hypervolume(pairs: Array, worst: tuple[float, float], ideal: tuple[float, float]) -> float:
    """Area between the front of (accuracy, cost) rows and the `worst` corner, `ideal` to `worst` being 1."""
    if not len(pairs):
        return 0.0
    error = (ideal[0] - pairs[:, 0]) / (ideal[0] - worst[0])
    cost = (pairs[:, 1] - ideal[1]) / (worst[1] - ideal[1])
    front = pareto_front(np.stack([-np.clip(error, 0, 1), np.clip(cost, 0, 1)], axis=1))
    ends = np.append(front[1:, 1], 1.0)
    return float(((1.0 + front[:, 0]) * (ends - front[:, 1])).sum())


@dataclass(frozen=True)
class MacroView:
    """NAS-Bench-Macro's eight layers, in stages of two, three and three.

    0 is an identity, 1 a block with expansion 3 and kernel 3, 2 one with expansion 6 and kernel 5. A stage's
    first layer changes the shape, so it is none even as "identity"; the others commute with an identity, so
    that those go last.
    """

    table: Mapping[str, Mapping[str, float]]

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(Choice(f"layer{i}", (0, 1, 2)) for i in range(8))

    def sample(self, rng: np.random.Generator) -> Point:
        return {c.name: c.values[int(rng.random() * 3)] for c in self.choices}

    def neighbours(self, point: Point) -> Iterator[Point]:
        for name, current in point.items():
            for value in (0, 1, 2):
                if value != current:
                    yield {**point, name: value}

    def canonical(self, point: Point) -> Point:
        return dict(zip(point, (int(c) for c in self.identity(point)), strict=True))

    def identity(self, point: Point) -> str:
        digits = "".join(str(value) for value in point.values())
        stages = (digits[:2], digits[2:5], digits[5:])
        return "".join(s[0] + s[1:].replace("0", "").ljust(len(s) - 1, "0") for s in stages)

    def features(self, point: Point) -> tuple[float, ...]:
        row = self.table[self.identity(point)]
        values = [int(value) for value in point.values()]
        depth = sum(value > 0 for value in values)
        return float(depth), float(3 * sum(values)), float(np.log(row["flops"])), float(np.log(row["params"]))


_STAGES = ((32, 64, 2), (64, 128, 3), (128, 256, 3))  # channels in and out, layers


def macro_architecture(identity: str) -> Architecture:
    """The network of a NAS-Bench-Macro key, for 32×32 images of 10 classes."""
    digits, blocks = iter(identity), []
    for inside, outside, layers in _STAGES:
        for layer in range(layers):
            choice, source = next(digits), outside if layer else inside
            stride = "s11" if layer else "s22"
            if choice != "0":
                kind = {"1": "k3_e3", "2": "k5_e6"}[choice]
                blocks.append(f"r1_{kind}_{stride}_i{source}_o{outside}_relu6")
            elif layer == 0:  # where the shape changes an identity is a 1×1 convolution
                blocks.append(f"r1_k1_{stride}_i{source}_o{outside}_conv_noskip")
    return Architecture.from_blocks(
        blocks, stem=32, head=1280, resolution=32, classes=10, stem_stride=1, activation="relu6"
    )


@dataclass
class Macro:
    """NAS-Bench-Macro (Su et al., CVPR 2021): every network trained three times on CIFAR-10."""

    path: str
    name: str = "macro"
    target: float = 50e6
    table: dict[str, dict[str, float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.table = json.loads(Path(self.path).read_text(encoding="utf-8"))

    @cached_property
    def view(self) -> MacroView:
        return MacroView(self.table)

    def observed(self, point: Point, seed: int) -> float:
        accuracies: list[float] = self._row(point)["test_acc"]  # type: ignore[assignment]
        return accuracies[seed % 3] / 100

    def accuracy(self, point: Point) -> float:
        return self._row(point)["mean_acc"] / 100

    def costs(self, points: Sequence[Point]) -> Array:
        return np.array([self._row(point)["flops"] for point in points], dtype=float)

    def best(self, objective: str) -> float:
        pairs = self._distinct
        if objective == "front":
            return self.area(pairs)
        if objective == "hard":
            return float(pairs[pairs[:, 1] <= self.target, 0].max())
        weights = soft_weight(pairs[:, 1], self.target) if objective == "soft" else 1.0
        return float((pairs[:, 0] * weights).max())

    def area(self, pairs: Array) -> float:
        known = self._distinct
        worst, ideal = (known[:, 0].min(), known[:, 1].max()), (known[:, 0].max(), known[:, 1].min())
        return hypervolume(pairs, worst, ideal)

    def _row(self, point: Point) -> dict[str, float]:
        return self.table[self.view.identity(point)]

    @cached_property
    def _distinct(self) -> Array:
        """(mean accuracy, FLOPs) of each distinct network (3,969 × 2)."""
        names = [choice.name for choice in self.view.choices]
        keys = {self.view.identity(dict(zip(names, map(int, key), strict=True))) for key in self.table}
        rows = [self.table[key] for key in sorted(keys)]
        return np.array([(row["mean_acc"] / 100, row["flops"]) for row in rows])
