"""Baseline: a network that is a list of layers and not made of blocks, such as ENet or a small VGG."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

from candidates import checks
from candidates.block import ACTIVATIONS
from candidates.errors import InputError
from candidates.files import read_text
from candidates.layered import Layered, plain_layer
from candidates.layers import Bottleneck, Layer
from candidates.operations import operations
from candidates.rounding import MOST_WIDTH, round_channels

FORMAT = 1
OPERATIONS = (
    "conv", "mbconv", "classifier", "residual", "max_pool", "dense", "enet_initial", "enet_bottleneck",
)  # fmt: skip
_SKIPS = {
    "conv": ("none", "identity", "pool"),
    "mbconv": ("none", "identity", "pool"),
    "residual": ("identity", "project"),
}
MOST = 1_000_000
MOST_LAYERS = 10_000


@dataclass(frozen=True)
class Baseline(Layered):
    """A network of resolved `layers`, the last of them the classifier.

    Input N × `channels_in` × `resolution` × `resolution`, output N × `classes`; padding is symmetric. `name`
    is for people and takes no part in comparisons.
    """

    layers: tuple[Layer, ...]
    resolution: int
    bn_epsilon: float = 1e-3
    name: str | None = field(default=None, compare=False)
    padding = "symmetric"

    def __post_init__(self) -> None:
        checks.integer("resolution", self.resolution, maximum=MOST)
        checks.positive("bn_epsilon", self.bn_epsilon)
        if self.name is not None and not checks.text("name", self.name).isprintable():
            raise InputError(f"name is {checks.shown(self.name)}; expected text in one line")
        if not 2 <= len(self.layers) <= MOST_LAYERS or self.layers[-1].operation != "classifier":
            raise InputError(
                f"a baseline has {len(self.layers)} layers; expected 2 to {MOST_LAYERS}, the last a classifier"
            )
        for number, (layer, after) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            if layer.out_channels != after.in_channels or layer.operation == "classifier":
                raise InputError(
                    f"layer {number} ({layer.operation}) gives {layer.out_channels} channels and layer "
                    f"{number + 1} takes {after.in_channels}; expected the same, and one classifier, the last"
                )
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Every window fits, and what is added or joined has one size."""
        for op in operations(self.layers, self.resolution):
            layer = self.layers[op.layer]
            inside = op.kind == "max_pool" or not op.padded
            if inside and min(op.in_size) < max(op.kernel):
                raise InputError(
                    f"resolution {self.resolution} is too small: {op.in_size[0]}×{op.in_size[1]} arrives at layer "
                    f"{op.layer} ({layer.operation}), whose window is {op.kernel[0]}×{op.kernel[1]}"
                )
            if layer.operation == "enet_initial" and op.kind == "max_pool" and op.in_size[0] % 2:
                raise InputError(
                    f"resolution {self.resolution} is odd; ENet's first layer, which halves, expects an even one"
                )

    @property
    def channels_in(self) -> int:
        """Input channels."""
        return self.layers[0].in_channels

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.layers[-1].out_channels

    def scaled(
        self,
        width: float = 1.0,
        resolution: int | None = None,
        divisor: int = 8,
        min_depth: int | None = None,
    ) -> Baseline:
        """Multiply all channels but the input's and the classes by `width`; 1.0 changes nothing.

        Every other width rounds to multiples of `divisor`, at least `min_depth`.
        """
        checks.number("width", checks.positive("width", width), 0.0, MOST_WIDTH)
        checks.integer("divisor", divisor)
        name = self.name

        def scale(channels: int) -> int:
            return round_channels(channels, width, divisor, min_depth)

        scaled = [
            replace(
                layer,
                in_channels=scale(layer.in_channels),
                out_channels=scale(layer.out_channels),
                expanded=max(1, scale(layer.out_channels) * layer.expanded // layer.out_channels)
                if layer.expanded
                else 0,
            )
            for layer in self.layers
        ]
        scaled[0] = replace(scaled[0], in_channels=self.channels_in)
        scaled[-1] = replace(scaled[-1], out_channels=self.classes)
        if name and width != 1.0:
            name += f"-{width:g}"
        if name and resolution not in (None, self.resolution):
            name += f"-{resolution}"
        return replace(self, layers=tuple(scaled), name=name).for_input(resolution)

    def for_input(
        self, resolution: int | None = None, channels_in: int | None = None, classes: int | None = None
    ) -> Baseline:
        """The same network for another input size, number of input channels or classes.

        A fully connected layer takes in the whole map that arrives at it, so its weights grow with the input.
        """
        size = checks.integer(
            "resolution", self.resolution if resolution is None else resolution, maximum=MOST
        )
        first = replace(self.layers[0], in_channels=self.channels_in if channels_in is None else channels_in)
        last = replace(self.layers[-1], out_channels=self.classes if classes is None else classes)
        return replace(self, layers=_refitted((first, *self.layers[1:-1], last), size), resolution=size)

    def to_json(self) -> str:
        """One JSON document that `from_dict` reads back to an equal Baseline."""
        values = {
            "format": FORMAT,
            "name": self.name,
            "resolution": self.resolution,
            "bn_epsilon": self.bn_epsilon,
            "layers": [_sparse(layer) for layer in self.layers],
        }
        return json.dumps(values, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Baseline:
        """Read what `to_json` wrote; raises InputError for anything else."""
        return cls.from_dict(checks.parsed_json("a network's text", text))

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Baseline:
        """From JSON's mapping; `id` and `spec`, which an export adds, are checked when they are there."""
        given = dict(values)
        checks.format_number("the network", given, FORMAT)
        checks.known_keys(
            "the network", given, ["format", "id", "spec", "name", "resolution", "bn_epsilon", "layers"]
        )
        layers = checks.sequence("layers", given.get("layers"))
        found = cls(
            tuple(_layer(f"layer {number}", layer) for number, layer in enumerate(layers[: MOST_LAYERS + 1])),
            checks.integer("resolution", given.get("resolution"), maximum=MOST),
            checks.positive("bn_epsilon", given.get("bn_epsilon", 1e-3)),
            None if given.get("name") is None else checks.text("name", given["name"]),
        )
        if given.get("id", found.id) != found.id:
            raise InputError(
                f"the network's id is {checks.shown(given['id'])} but its layers give {found.id}"
            )
        if given.get("spec", found.spec()) != found.spec():
            raise InputError("the network's spec does not follow from its layers")
        return found

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Baseline:
        """Read a Baseline from a JSON file; an InputError names the file."""
        try:
            return cls.from_json(read_text(path))
        except InputError as error:
            raise InputError(f"{os.fspath(path)}: {error}") from None


def _refitted(layers: tuple[Layer, ...], resolution: int) -> tuple[Layer, ...]:
    """The layers with the first fully connected one as large as the map that arrives at it."""
    for index, layer in enumerate(layers):
        if layer.operation == "dense":
            arriving = resolution
            if index:
                arriving = operations(layers[:index], resolution)[-1].out_size[0]
            return (*layers[:index], replace(layer, kernel=arriving), *layers[index + 1 :])
    return layers


def _sparse(layer: Layer) -> dict[str, Any]:
    """A layer's fields that are not their defaults."""
    defaults = {f.name: f.default for f in fields(layer) if f.default is not MISSING}
    values = plain_layer(layer)
    return {
        name: v
        for name, v in values.items()
        if name not in defaults or getattr(layer, name) != defaults[name]
    }


def _layer(where: str, value: object) -> Layer:
    values = checks.mapping(where, value)
    kind = checks.one_of(f"{where}: operation", values.get("operation"), OPERATIONS)
    made = Bottleneck if kind == "enet_bottleneck" else Layer
    checks.known_keys(where, values, [f.name for f in fields(made)])
    given: dict[str, Any] = {"operation": kind}
    for name, least, most in (
        ("in_channels", 1, MOST), ("out_channels", 1, MOST), ("kernel", 1, 10_000), ("expanded", 0, MOST),
        ("squeeze", 0, MOST), ("dilation", 1, 1000),
    ):  # fmt: skip
        if name in values or name in ("in_channels", "out_channels"):
            given[name] = checks.integer(f"{where}: {name}", values.get(name), least, most)
    if "stride" in values:
        rows, columns = _pair(f"{where}: stride", values["stride"])
        given["stride"] = (rows, columns)
    if "activation" in values:
        allowed = ("none", "prelu", *ACTIVATIONS)
        given["activation"] = checks.one_of(f"{where}: activation", values["activation"], allowed)
    if "skip" in values:
        given["skip"] = checks.text(f"{where}: skip", values["skip"])
    if "asymmetric" in values:
        checks.one_of(f"{where}: asymmetric", str(values["asymmetric"]), ("True", "False"))
        given["asymmetric"] = bool(values["asymmetric"])
    if "dropout" in values:
        given["dropout"] = checks.number(f"{where}: dropout", values["dropout"], 0.0, 1.0)
    found = made(**given)
    _check_shape(where, found)
    return found


def _pair(where: str, value: object) -> tuple[int, int]:
    values = checks.sequence(where, value)
    if len(values) != 2:
        raise InputError(f"{where} is {checks.shown(value)}; expected two whole numbers")
    rows, columns = (checks.integer(where, v, 1, 1000) for v in values)
    return rows, columns


def _check_shape(where: str, layer: Layer) -> None:
    """What an operation needs of its layer's fields."""
    keeps = layer.stride == (1, 1) and layer.in_channels == layer.out_channels
    grows = layer.out_channels >= layer.in_channels
    halves = layer.stride in ((1, 1), (2, 2))
    skips = _SKIPS.get(layer.operation, ("none",))
    wrong = {
        "an identity skip needs equal channels and stride 1": layer.skip == "identity" and not keeps,
        f"its skip is one of {', '.join(skips)}": layer.skip not in skips,
        "pooling keeps its channels": layer.operation == "max_pool"
        and layer.in_channels != layer.out_channels,
        "an mbconv has expanded channels": layer.operation == "mbconv" and not layer.expanded,
        "a bottleneck has expanded channels, does not lose any, and strides 1 or 2": isinstance(
            layer, Bottleneck
        )
        and not (layer.expanded and grows and halves),
        "an initial layer adds channels to its input's and has stride 2": layer.operation == "enet_initial"
        and not (layer.out_channels > layer.in_channels and layer.stride == (2, 2)),
        "kernels are odd": layer.kernel % 2 == 0 and layer.operation not in ("max_pool", "dense"),
    }
    for expected, is_wrong in wrong.items():
        if is_wrong:
            raise InputError(f"{where} ({layer.operation}): {expected}")
