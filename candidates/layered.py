"""What follows from a list of layers, whatever describes them: identity, costs, the plain description."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from candidates import cost
from candidates.files import write_text
from candidates.layers import Layer


class Layered:
    """A network as resolved layers: an Architecture, which is made of blocks, or a Baseline, which is not.

    Input N × `channels_in` × `resolution` × `resolution`, output N × `classes`.
    """

    if TYPE_CHECKING:  # fields of the one are properties of the other

        @property
        def layers(self) -> tuple[Layer, ...]:
            """Every layer from the first to the classifier."""
            ...

        @property
        def resolution(self) -> int: ...

        @property
        def channels_in(self) -> int: ...

        @property
        def classes(self) -> int: ...

        @property
        def padding(self) -> str: ...

        @property
        def bn_epsilon(self) -> float: ...

        @property
        def name(self) -> str | None: ...

        def to_json(self) -> str:
            """One JSON document, from which the same network can be read."""
            ...

    def spec(self) -> dict[str, Any]:
        """The plain description that `candidates.network` builds from: padding, BN epsilon and layers."""
        return {
            "resolution": self.resolution,
            "padding": self.padding,
            "bn_epsilon": self.bn_epsilon,
            "layers": [plain_layer(layer) for layer in self.layers],
        }

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits: the same for the same network at the same input size, everywhere."""
        canonical = json.dumps(self.spec(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def parameters(self) -> int:
        """Trainable parameters: convolutions, normalisations, slopes of PReLU and the classifier."""
        return cost.parameters(self.layers)

    def multiply_adds(self) -> int:
        """Multiply-adds of the convolutions and the classifier for one image (half the FLOPs)."""
        return cost.multiply_adds(self.layers, self.resolution)

    def peak_activation_bytes(self) -> int:
        """The largest sum of float32 tensors alive at once for one image, in bytes."""
        return cost.peak_activation_bytes(self.layers, self.resolution)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json()` to `path` in one step."""
        write_text(path, self.to_json())


def plain_layer(layer: Layer) -> dict[str, Any]:
    """A layer's fields as JSON holds them."""
    values = asdict(layer)
    values["stride"] = list(layer.stride)
    return values
