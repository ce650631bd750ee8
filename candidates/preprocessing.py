"""What happens to an image before a network sees it, written down beside every exported model."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from candidates import checks
from candidates.errors import InputError
from candidates.files import read_text

FILE = "preprocessing.json"
FORMAT = 1
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """From an upright image to a network's input.

    The shorter side is resized to `resize` pixels (bilinear, antialiased), the central `resolution` ×
    `resolution` cut out; then (pixel / 255 − mean) / std in each channel. One channel is luminance, three are
    red, green and blue. `source` says where mean and std come from.
    """

    resolution: int
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str = ""

    def __post_init__(self) -> None:
        checks.integer("resolution", self.resolution, maximum=1_000_000)
        checks.integer("resize", self.resize, minimum=self.resolution, maximum=1_000_000)
        for value in self.mean:
            checks.number("mean", value, -1000.0, 1000.0)
        for value in self.std:
            checks.positive("std", value)
        if not self.mean or len(self.mean) != len(self.std):
            raise InputError(
                f"mean has {len(self.mean)} channels and std {len(self.std)}; expected as many, at least one"
            )
        checks.text("source", self.source)

    @classmethod
    def usual(cls, resolution: int, channels: int) -> Preprocessing:
        """ImageNet's mean and deviation for three channels, 0.5 for any other number."""
        if channels == 3:
            return cls(resolution, resolution, IMAGENET_MEAN, IMAGENET_STD, "ImageNet's mean and deviation")
        half = (0.5,) * channels
        return cls(resolution, resolution, half, half, "from −1 to 1")

    @classmethod
    def imagenet(cls, resolution: int) -> Preprocessing:
        """As networks for ImageNet are evaluated: the central 7/8 of the image."""
        resize = round(resolution / 0.875)
        return cls(resolution, resize, IMAGENET_MEAN, IMAGENET_STD, "ImageNet's mean and deviation")

    def applied(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N×C×`resize`×`resize` bytes to N×C×`resolution`×`resolution` float32."""
        start = (self.resize - self.resolution) // 2
        inner = slice(start, start + self.resolution)
        return self.normalised(pixels[:, :, inner, inner])

    def normalised(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N×C×H×W bytes, cut already, to float32."""
        mean, std = (np.array(v, np.float32).reshape(1, -1, 1, 1) for v in (self.mean, self.std))
        return ((pixels.astype(np.float32) / np.float32(255) - mean) / std).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the steps in words."""
        colour = "grayscale" if len(self.mean) == 1 else "red, green, blue"
        steps = [
            f"decode upright as {colour}, 0 to 255",
            f"resize the shorter side to {self.resize} pixels, bilinear with antialiasing",
            f"cut out the central {self.resolution}×{self.resolution} pixels",
            "divide by 255, subtract mean, divide by std, channel by channel",
            "channels first for PyTorch and ONNX (N×C×H×W), last for TFLite (N×H×W×C)",
        ]
        return {"format": FORMAT, **asdict(self), "steps": steps}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Preprocessing:
        """Read a file that holds `to_dict()`; an InputError names the file."""
        try:
            values = checks.parsed_json("the preprocessing", read_text(path))
            checks.format_number("the preprocessing", values, FORMAT)
            names = [f.name for f in fields(cls)]
            checks.known_keys("the preprocessing", values, ["format", "steps", "quantised", *names])
            found: dict[str, Any] = {name: values[name] for name in names if name in values}
            for name in ("resolution", "resize", "mean", "std"):
                if name not in found:
                    raise InputError(f"the preprocessing has no {name}")
            for name in ("mean", "std"):
                found[name] = tuple(
                    checks.number(name, v, -1e9, 1e9) for v in checks.sequence(name, found[name])
                )
            return cls(**found)
        except InputError as error:
            raise InputError(f"{os.fspath(path)}: {error}") from None
