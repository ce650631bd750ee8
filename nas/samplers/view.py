"""What a sampler needs to know of a space: its choices, a point's neighbours, identity and features."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from candidates import cost
from candidates.layers import Layer, block_layers
from search_space import Choice, FactorizedSpace, Point
from search_space.choice import Value
from search_space.space import SETTINGS, Random


class View(Protocol):
    """A space as the samplers see it. Points are plain dicts: one value for each choice, by name."""

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Every decision, with its values."""
        ...

    def sample(self, rng: Random) -> Point:
        """A point, uniform over all points."""
        ...

    def neighbours(self, point: Point) -> Iterator[Point]:
        """Points that differ a little, by one choice."""
        ...

    def canonical(self, point: Point) -> Point:
        """The same for all points that are the same candidate, where that is cheap to say."""
        ...

    def identity(self, point: Point) -> Hashable:
        """Equal for two points exactly where they are the same candidate."""
        ...

    def features(self, point: Point) -> tuple[float, ...]:
        """Numbers that sum up the candidate and cost nothing to know; may be empty."""
        ...


@dataclass(frozen=True)
class _Built:
    """One block as built after `arriving` channels."""

    plainest: tuple[Value, ...]
    numbers: tuple[int, ...]  # one for each layer, the same for equal layers
    widths: int  # sum of the layers' output channels
    out_channels: int
    multiply_adds: int
    parameters: int


@dataclass(frozen=True)
class FactorizedView:
    """A FactorizedSpace, with every block's costs and canonical values kept once they were asked for.

    Features: depth, and the logarithms of the mean width, of the multiply-adds and of the parameters of the
    blocks (stem and head are the same in all).
    """

    space: FactorizedSpace
    _built: dict[tuple[Value, ...], _Built] = field(default_factory=dict, repr=False, compare=False)
    _plainest: dict[tuple[int, int], dict[tuple[Layer, ...], tuple[Value, ...]]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _numbers: dict[Layer, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def choices(self) -> tuple[Choice, ...]:
        return self.space.choices

    def sample(self, rng: Random) -> Point:
        return self.space.sample(rng)

    def neighbours(self, point: Point) -> Iterator[Point]:
        return self.space.neighbours(point)

    def canonical(self, point: Point) -> Point:
        """The plainest point block by block (`space.canonical` also moves layers between blocks)."""
        values = [value for block in self._blocks(point) for value in block.plainest]
        return dict(zip(self._names, values, strict=True))

    def identity(self, point: Point) -> Hashable:
        return tuple(number for block in self._blocks(point) for number in block.numbers)

    def features(self, point: Point) -> tuple[float, ...]:
        blocks = self._blocks(point)
        depth = sum(len(block.numbers) for block in blocks)
        return (
            float(depth),
            math.log(sum(block.widths for block in blocks) / depth),
            math.log(sum(block.multiply_adds for block in blocks)),
            math.log(sum(block.parameters for block in blocks)),
        )

    def parameters(self, point: Point) -> tuple[int, int]:
        """The parameters of the blocks together, and the channels that leave the last: all that the head depends on."""
        blocks = self._blocks(point)
        return sum(block.parameters for block in blocks), blocks[-1].out_channels

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(choice.name for choice in self.choices)

    @cached_property
    def _names_by_block(self) -> list[tuple[str, ...]]:
        return [tuple(choice.name for choice in options.choices) for options in self.space.blocks]

    def _blocks(self, point: Point) -> list[_Built]:
        arriving = int(self.space.settings.get("stem", SETTINGS["stem"]))
        found = []
        for index, names in enumerate(self._names_by_block):
            key = (index, arriving, *[point[name] for name in names])
            built = self._built.get(key)
            if built is None:
                built = self._built[key] = self._build(index, arriving, point)
            found.append(built)
            arriving = built.out_channels
        return found

    def _build(self, index: int, arriving: int, point: Point) -> _Built:
        options = self.space.blocks[index]
        if (index, arriving) not in self._plainest:
            table: dict[tuple[Layer, ...], tuple[Value, ...]] = {}
            for other in options.points():
                table.setdefault(tuple(block_layers(options.block(other, arriving))), tuple(other.values()))
            self._plainest[index, arriving] = table
        layers = tuple(block_layers(options.block(point, arriving)))
        return _Built(
            self._plainest[index, arriving][layers],
            tuple(self._numbers.setdefault(layer, len(self._numbers)) for layer in layers),
            sum(layer.out_channels for layer in layers),
            layers[-1].out_channels,
            cost.multiply_adds(layers, self._resolution(index)),
            cost.parameters(layers),
        )

    def _resolution(self, index: int) -> int:
        """Height of the feature map that reaches block `index`."""
        size = int(self.space.settings.get("resolution", SETTINGS["resolution"]))
        size = -(-size // int(self.space.settings.get("stem_stride", SETTINGS["stem_stride"])))
        for options in self.space.blocks[:index]:
            size = -(-size // options.stride[0])
        return size


def view_of(space: FactorizedSpace | View) -> View:
    """A view of a FactorizedSpace; what is a view already stays as it is."""
    return FactorizedView(space) if isinstance(space, FactorizedSpace) else space
