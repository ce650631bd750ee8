"""A factorized hierarchical space: each block's operation, size and depth are chosen on their own.

After MnasNet (arXiv 1807.11626v3, section 4.1): blocks are searched separately, and all layers of a block
are identical.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from candidates import Architecture, Block
from candidates.errors import InputError
from candidates.layers import Layer, block_layers
from search_space.choice import Choice, Point
from search_space.options import BlockOptions

SETTINGS = {
    name: Architecture.__dataclass_fields__[name].default
    for name in (
        "stem",
        "head",
        "resolution",
        "channels_in",
        "classes",
        "stem_stride",
        "activation",
        "padding",
        "bn_epsilon",
    )
}
"""An Architecture's fields other than its blocks, with their defaults: what a space may set."""


class Random(Protocol):
    """The one method that sampling needs; random.Random and numpy's Generator both have it."""

    def random(self) -> float:
        """A number from 0 up to, but not including, 1."""
        ...


class Suggests(Protocol):
    """What is needed of an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        """One of `choices`."""
        ...


@dataclass(frozen=True)
class FactorizedSpace:
    """The architectures that `blocks` can choose; `settings` are the Architecture's other fields."""

    name: str
    blocks: tuple[BlockOptions, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    _tables: dict[tuple[int, int], dict[tuple[Layer, ...], Point]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Every decision, block by block."""
        return tuple(choice for block in self.blocks for choice in block.choices)

    @property
    def size(self) -> int:
        """The number of points. Several points may be the same network: see `distinct`."""
        size = 1
        for block in self.blocks:
            size *= block.size
        return size

    @cached_property
    def distinct(self) -> int | None:
        """The number of distinct networks, or None where it cannot be counted block by block.

        It cannot where a block without stride may have the channels of the one before it, since a layer
        could then belong to either.
        """
        ways = {self._stem: 1}
        for index, options in enumerate(self.blocks):
            outputs: dict[int, int] = {}
            for in_channels, count in ways.items():
                for layers in self._table(index, in_channels):
                    out_channels = layers[-1].out_channels
                    if index and options.stride == (1, 1) and out_channels == in_channels:
                        return None
                    outputs[out_channels] = outputs.get(out_channels, 0) + count
            ways = outputs
        return sum(ways.values())

    def sample(self, rng: Random) -> Point:
        """A point, uniform over all points; `rng` is a random.Random or a numpy Generator."""
        return {c.name: c.values[int(rng.random() * len(c.values))] for c in self.choices}

    def suggest(self, trial: Suggests) -> Point:
        """The point that an Optuna trial proposes."""
        return {c.name: trial.suggest_categorical(c.name, c.values) for c in self.choices}

    def decode(self, point: Point) -> Architecture:
        """The architecture of `point`; an InputError names the choice that is missing, unknown or wrong."""
        if len(point) != len(self.choices):
            for name in point:
                if name not in {choice.name for choice in self.choices}:
                    raise InputError(f"the space {self.name} has no choice {name!r}")
        blocks: list[Block] = []
        channels = self._stem
        for options in self.blocks:
            blocks.append(options.block(point, channels))
            channels = blocks[-1].out_channels
        return Architecture.from_blocks(blocks, **self.settings)

    def encode(self, arch: Architecture) -> Point:
        """The canonical point of `arch`: of all points that build the same network, the plainest.

        Raises InputError where the space does not hold the architecture, naming the first block that fits
        none of its choices.
        """
        for name, expected in {**SETTINGS, **self.settings}.items():
            if getattr(arch, name) != expected:
                raise InputError(
                    f"the architecture is not in the space {self.name}: "
                    f"its {name} is {getattr(arch, name)!r}; expected {expected!r}"
                )
        body = arch.layers[1:-2]
        found, reached = self._match(body, 0, self._stem)
        if found is None:
            raise InputError(
                f"the architecture is not in the space {self.name}: block {reached + 1} "
                f"({_block_text(arch, reached)}) is none of its choices"
            )
        return found

    def canonical(self, point: Point) -> Point:
        """The canonical point of the network that `point` builds."""
        return self.encode(self.decode(point))

    def neighbours(self, point: Point) -> Iterator[Point]:
        """Every point that differs in exactly one choice (some may still build the same network)."""
        for choice in self.choices:
            current = choice.check(point)
            for value in choice.values:
                if value != current:
                    yield {**point, choice.name: value}

    @property
    def _stem(self) -> int:
        stem: int = self.settings.get("stem", SETTINGS["stem"])
        return stem

    def _match(self, layers: tuple[Layer, ...], index: int, channels: int) -> tuple[Point | None, int]:
        """The point of `layers` from block `index` on, and the last block that was reached."""
        if index == len(self.blocks):
            return ({} if not layers else None), index - 1
        reached = index
        table = self._table(index, channels)
        for count in range(1, len(layers) + 1):
            start = table.get(layers[:count])
            if start is not None:
                rest, last = self._match(layers[count:], index + 1, layers[count - 1].out_channels)
                if rest is not None:
                    return {**start, **rest}, last
                reached = max(reached, last)
        return None, reached

    def _table(self, index: int, in_channels: int) -> dict[tuple[Layer, ...], Point]:
        """What each combination of a block's choices builds, each network with its plainest point."""
        key = (index, in_channels)
        if key not in self._tables:
            options = self.blocks[index]
            table: dict[tuple[Layer, ...], Point] = {}
            for point in options.points():
                table.setdefault(tuple(block_layers(options.block(point, in_channels))), point)
            self._tables[key] = table
        return self._tables[key]


def _block_text(arch: Architecture, index: int) -> str:
    return str(arch.blocks[index]) if index < len(arch.blocks) else "missing"
