"""What may be chosen in each block of a factorized space, and the block that a choice gives."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from candidates import Block
from candidates.block import SKIPS
from candidates.errors import InputError
from candidates.rounding import round_channels
from search_space.choice import Choice, Point, Value

NAMES = ("op", "expansion", "kernel", "se", "skip", "width", "layers")
"""The decisions that a block may leave open, in the order in which their values are preferred."""

OPERATIONS = re.compile(r"conv|dsconv|mbconv([1-9]\d?)?")


@dataclass(frozen=True)
class BlockOptions:
    """One block: its base and the values that each of NAMES may take.

    `width` multiplies the base's channels (rounded to multiples of 8 as TensorFlow does, and 1.0 as well)
    and `layers` is added to its number of layers, which is at least 1. Values that come to the same channels
    or the same number of layers are one value: the one nearest to the base.
    """

    number: int
    stride: tuple[int, int]
    channels: int
    layers: int
    values: Mapping[str, tuple[Value, ...]]
    activation: str = "relu"

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The block's decisions, named `b<number>.<decision>`."""
        return tuple(
            Choice(f"b{self.number}.{name}", self.distinct(name)) for name in NAMES if name in self.values
        )

    def distinct(self, name: str) -> tuple[Value, ...]:
        """The values of one decision, those that come to the same merged."""
        values = self.values[name]
        if name == "width":
            return _merged(values, self.out_channels, neutral=1.0)
        if name == "layers":
            return _merged(values, self.repeats, neutral=0)
        return values

    def out_channels(self, width: Value) -> int:
        """Output channels for a `width` factor."""
        if width == 1:
            return self.channels
        return round_channels(self.channels, float(width))

    def repeats(self, delta: Value) -> int:
        """Number of layers for a `layers` difference."""
        return max(1, self.layers + int(delta))

    def block(self, point: Point, in_channels: int) -> Block:
        """The block that `point` chooses, in canonical form: what has no effect is not in it."""
        chosen = {choice.name.partition(".")[2]: choice.check(point) for choice in self.choices}
        operation, expansion = _operation(chosen)
        out_channels = self.out_channels(chosen.get("width", 1))
        repeats = self.repeats(chosen.get("layers", 0))
        skip = str(chosen.get("skip", "identity"))
        keeps_shape = self.stride == (1, 1) and in_channels == out_channels
        if skip == "identity" and repeats == 1 and not keeps_shape:
            skip = "none"
        if skip == "pool" and keeps_shape:
            skip = "identity"
        return Block(
            repeats=repeats,
            kernel=int(chosen.get("kernel", 3)),
            stride=self.stride,
            expansion=expansion,
            in_channels=in_channels,
            out_channels=out_channels,
            se=float(chosen.get("se", 0)) if operation == "mbconv" else 0.0,
            skip=skip,
            operation=operation,
            activation=self.activation,
        )

    def points(self) -> Iterator[Point]:
        """Every combination of the block's choices, the plainer values first."""
        choices = self.choices
        values = [sorted(choice.values, key=_plainness) for choice in choices]
        for combination in itertools.product(*values):
            yield {choice.name: value for choice, value in zip(choices, combination, strict=True)}

    @property
    def size(self) -> int:
        """How many combinations there are."""
        size = 1
        for choice in self.choices:
            size *= len(choice.values)
        return size


def _merged(values: tuple[Value, ...], result: Callable[[Value], int], neutral: float) -> tuple[Value, ...]:
    kept: dict[int, Value] = {}
    for value in sorted(values, key=lambda value: abs(float(value) - neutral)):
        kept.setdefault(result(value), value)
    return tuple(value for value in values if value in kept.values())


def _plainness(value: Value) -> tuple[int, float]:
    """Numbers upwards; skips from none to pool; other words keep their order."""
    if isinstance(value, str):
        return (SKIPS.index(value) if value in SKIPS else 0, 0.0)
    return (0, value)


def _operation(chosen: Mapping[str, Value]) -> tuple[str, int]:
    word = str(chosen["op"])
    match = OPERATIONS.fullmatch(word)
    if match is None:
        raise InputError(f"operation {word!r} is unknown; expected conv, dsconv, mbconv or mbconv<expansion>")
    if word == "conv":
        return "conv", 1
    if word == "dsconv":
        return "mbconv", 1
    return "mbconv", int(match[1] or chosen["expansion"])
