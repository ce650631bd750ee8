"""Architecture: stem, blocks, head, input and classes, as a frozen value that is also a text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from candidates import checks
from candidates.block import ACTIVATIONS, Block
from candidates.errors import InputError
from candidates.files import read_text
from candidates.layered import Layered
from candidates.layers import Layer, block_layers
from candidates.rounding import MOST_WIDTH, round_channels

FORMAT = 1
PADDINGS = ("symmetric", "same")
MOST_LAYERS = 10_000
SMALL_INPUT = 64  # inputs up to this size have strides removed by `for_input`


@dataclass(frozen=True)
class Architecture(Layered):
    """An image-classification network made of blocks.

    A 3×3 stem convolution, the blocks, a 1×1 head convolution, global average pooling and a linear
    classifier. Input N × `channels_in` × `resolution` × `resolution`, output N × `classes`. `padding` is
    `symmetric` (kernel // 2 on each side) or `same` (TensorFlow's, asymmetric at stride 2). `name` is for
    people and takes no part in comparisons.
    """

    blocks: tuple[Block, ...]
    stem: int = 32
    head: int = 1280
    resolution: int = 224
    channels_in: int = 3
    classes: int = 1000
    stem_stride: int = 2
    activation: str = "relu"
    padding: str = "symmetric"
    bn_epsilon: float = 1e-3
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("stem", "head", "resolution", "channels_in", "classes"):
            checks.integer(name, getattr(self, name), maximum=1_000_000)
        checks.integer("stem_stride", self.stem_stride, maximum=2)
        checks.one_of("activation", self.activation, ACTIVATIONS)
        checks.one_of("padding", self.padding, PADDINGS)
        checks.positive("bn_epsilon", self.bn_epsilon)
        if self.name is not None and not checks.text("name", self.name).isprintable():
            raise InputError(f"name is {checks.shown(self.name)}; expected text in one line")
        if not self.blocks:
            raise InputError("an architecture needs at least one block")
        layers = sum(block.repeats for block in self.blocks)
        if layers > MOST_LAYERS:
            raise InputError(f"the blocks have {layers} layers; expected at most {MOST_LAYERS}")
        self._check_channels()
        height, width = self._total_stride()
        if self.resolution < max(height, width):
            raise InputError(
                f"resolution {self.resolution} is smaller than the total stride {max(height, width)}; "
                f"use at least {max(height, width)}, or for_input({self.resolution}), which removes strides"
            )

    def _check_channels(self) -> None:
        arriving = self.stem
        for number, block in enumerate(self.blocks, start=1):
            # mnasnet-small declares 16 input channels after a stem of 8: in the reference the declared
            # number only decides the skip there, since a first layer without expansion has no other use.
            harmless = number == 1 and block.expansion == 1 and not block.se and block.skip != "pool"
            if block.in_channels != arriving and not (harmless and block.in_channels != block.out_channels):
                source = "the stem" if number == 1 else f"block {number - 1}"
                raise InputError(
                    f"block {number} '{block}' declares i{block.in_channels} but {source} gives {arriving} "
                    f"channels; expected i{arriving}"
                )
            arriving = block.out_channels

    def _total_stride(self) -> tuple[int, int]:
        height = width = self.stem_stride
        for block in self.blocks:
            height, width = height * block.stride[0], width * block.stride[1]
        return height, width

    @classmethod
    def from_blocks(cls, blocks: Iterable[str | Block], **settings: Any) -> Architecture:
        """From block strings (or Blocks) and any of the class's other fields."""
        if isinstance(blocks, str):
            raise InputError(f"blocks is the text {blocks!r}; expected a list of block strings")
        parsed = tuple(b if isinstance(b, Block) else Block.parse(b) for b in blocks)
        return cls(blocks=parsed, **settings)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer from the stem to the classifier, with skips and channels resolved."""
        stride = (self.stem_stride, self.stem_stride)
        found = [Layer("conv", self.channels_in, self.stem, 3, stride, self.activation)]
        for block in self.blocks:
            found.extend(block_layers(block, arriving=found[-1].out_channels))
        found.append(Layer("conv", found[-1].out_channels, self.head, 1, (1, 1), self.activation))
        found.append(Layer("classifier", self.head, self.classes))
        return tuple(found)

    def scaled(
        self,
        width: float = 1.0,
        resolution: int | None = None,
        divisor: int = 8,
        min_depth: int | None = None,
    ) -> Architecture:
        """Multiply the channels of stem and blocks by `width`; the head is never scaled.

        Width 1.0 changes nothing; every other width rounds to multiples of `divisor`, at least `min_depth`.
        """
        checks.number("width", checks.positive("width", width), 0.0, MOST_WIDTH)
        checks.integer("divisor", divisor)

        def scale(channels: int) -> int:
            return round_channels(channels, width, divisor, min_depth)

        blocks = tuple(
            replace(block, in_channels=scale(block.in_channels), out_channels=scale(block.out_channels))
            for block in self.blocks
        )
        name = self.name
        if name and width != 1.0:
            name += f"-{width:g}"
        if name and resolution not in (None, self.resolution):
            name += f"-{resolution}"
        return replace(
            self,
            blocks=blocks,
            stem=scale(self.stem),
            resolution=self.resolution if resolution is None else resolution,
            name=name,
        )

    def for_input(
        self,
        resolution: int | None = None,
        channels_in: int | None = None,
        classes: int | None = None,
        min_map: int = 4,
    ) -> Architecture:
        """The same architecture for another input size, number of input channels or classes.

        Up to 64×64, strides are removed, the stem's first and then block by block, until the last feature
        map is at least `min_map` × `min_map`; the strides in the block strings change with it. Larger inputs
        keep every stride.
        """
        size = checks.integer("resolution", self.resolution if resolution is None else resolution)
        stem_stride, blocks = self.stem_stride, list(self.blocks)
        if size <= SMALL_INPUT:
            if size < min_map:
                raise InputError(
                    f"resolution {size} cannot give a last feature map of {min_map}×{min_map}; "
                    f"expected at least {min_map}"
                )
            if not _fits(size, stem_stride, blocks, min_map):
                stem_stride = 1
            for index, block in enumerate(blocks):
                if _fits(size, stem_stride, blocks, min_map):
                    break
                blocks[index] = replace(block, stride=(1, 1))
        return replace(
            self,
            blocks=tuple(blocks),
            stem_stride=stem_stride,
            resolution=size,
            channels_in=self.channels_in if channels_in is None else channels_in,
            classes=self.classes if classes is None else classes,
        )

    def to_json(self) -> str:
        """One JSON document that `from_json` reads back to an equal Architecture."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["blocks"] = [str(block) for block in self.blocks]
        return json.dumps({"format": FORMAT, **values}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Read what `to_json` wrote; raises InputError for anything else."""
        return cls.from_dict(checks.parsed_json("an architecture's text", text))

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> Architecture:
        """From JSON's mapping; `id` and `spec`, which an export adds, are checked when they are there."""
        checks.format_number("the architecture", values, FORMAT)
        names = [f.name for f in fields(cls)]
        checks.known_keys("the architecture", values, ["format", "id", "spec", *names])
        if "blocks" not in values:
            raise InputError("the architecture has no blocks; expected a list of block strings")
        settings: dict[str, Any] = {name: values[name] for name in names if name in values}
        blocks = checks.sequence("blocks", settings.pop("blocks"))
        arch = cls.from_blocks([checks.text("a block", block) for block in blocks], **settings)
        if "id" in values and values["id"] != arch.id:
            raise InputError(f"the architecture's id is {values['id']!r} but its blocks give {arch.id}")
        if "spec" in values and values["spec"] != arch.spec():
            raise InputError("the architecture's list of layers does not follow from its blocks")
        return arch

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Architecture:
        """Read an Architecture from a JSON file; an InputError names the file."""
        content = read_text(path)
        try:
            return cls.from_json(content)
        except InputError as error:
            raise InputError(f"{os.fspath(path)}: {error}") from None


def _fits(resolution: int, stem_stride: int, blocks: list[Block], min_map: int) -> bool:
    """Whether the last feature map is at least `min_map`, and the input at least the total stride."""
    height = width = -(-resolution // stem_stride)
    total = stem_stride
    for block in blocks:
        height, width = -(-height // block.stride[0]), -(-width // block.stride[1])
        total *= max(block.stride)
    return min(height, width) >= min_map and resolution >= total
