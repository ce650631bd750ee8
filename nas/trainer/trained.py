"""Trained networks, whatever they are kept in, as functions from images to logits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from candidates import labels as label_file
from candidates import preprocessing as preprocessing_file
from candidates import zoo
from candidates.errors import InputError
from candidates.export import load_network
from candidates.export.running import Classify, open_exported
from candidates.files import expanded
from candidates.preprocessing import Preprocessing
from nas.find_candidate import find_candidate, find_weights, is_untrained

_FILES = ("model.onnx", "model.tflite")


@dataclass(frozen=True)
class Trained:
    """A network with what it wants its images like and, where that is known, what its classes are called."""

    path: Path
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    classify: Classify

    @property
    def channels(self) -> int:
        """Input channels."""
        return len(self.preprocessing.mean)

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """From N×C×H×W bytes, cut to a size that the network takes."""
        return self.classify(self.preprocessing.normalised(pixels))

    def name_of(self, label: int) -> str:
        """The class's name, or its number."""
        return str(label) if self.labels is None else self.labels[label]


def open_trained(text: str, device: str = "cpu") -> Trained:
    """A training or exported folder, or an exported .onnx or .tflite file; InputError for what is not trained."""
    if text in zoo.names():
        raise InputError(
            f"{text} has no trained weights; train it, or give a training's or an export's folder"
        )
    path = expanded("the model", text)
    file = _file_of(path)
    beside = path if path.is_dir() else path.parent
    if not (beside / preprocessing_file.FILE).is_file():
        raise InputError(
            f"{beside} has no {preprocessing_file.FILE}, which says how images become the network's input; "
            "give the folder that nas-train or nas-export wrote"
        )
    preprocessing = Preprocessing.load(beside / preprocessing_file.FILE)
    if file is None:
        arch = find_candidate(text).architecture
        classify = _of_network(load_network(arch, find_weights(text)), torch.device(device))
        _check_fits(beside, preprocessing, (arch.resolution, arch.channels_in))
        classes: int = arch.classes
    else:
        classify = _opened(file)
        shape = (1, len(preprocessing.mean), preprocessing.resolution, preprocessing.resolution)
        try:
            classes = classify(np.zeros(shape, np.float32)).shape[1]
        except Exception as error:  # a runtime's own error types
            raise InputError(
                f"{file} does not take the images that {beside}'s preprocessing makes: {_line(error)}"
            ) from None
    names = (
        label_file.load_labels(beside / label_file.FILE, classes)
        if (beside / label_file.FILE).is_file()
        else None
    )
    return Trained(path, preprocessing, names, classify)


def _file_of(path: Path) -> Path | None:
    """The exported file to run; None where the folder holds PyTorch weights."""
    folder = path if path.is_dir() else path.parent
    if is_untrained(folder):
        raise InputError(
            f"{folder} is an export of untrained weights; train the candidate (nas-train) and export that"
        )
    if path.is_dir():
        if find_weights(str(path)) is not None:
            return None
        for name in _FILES:
            if (path / name).is_file():
                return path / name
        raise InputError(
            f"{path} holds no trained network; expected model.safetensors, {' or '.join(_FILES)} in it"
        )
    if path.is_file() and path.suffix in (".onnx", ".tflite"):
        return path
    raise InputError(
        f"{path} is no trained network; expected a training's or an export's folder, an .onnx or a .tflite file"
    )


def _opened(file: Path) -> Classify:
    try:
        return open_exported(file)
    except Exception as error:  # a runtime's own error types
        raise InputError(f"{file} cannot be read as a model: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _check_fits(folder: Path, preprocessing: Preprocessing, wanted: tuple[int, int]) -> None:
    found = (preprocessing.resolution, len(preprocessing.mean))
    if found != wanted:
        raise InputError(
            f"{folder / preprocessing_file.FILE} makes images of {found[0]} pixels and {found[1]} channels, but the "
            f"network takes {wanted[0]} and {wanted[1]}"
        )


def _of_network(network: nn.Module, device: torch.device) -> Classify:
    network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def classify(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            inputs = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
            found: Any = network(inputs).float().cpu().numpy()
        return found  # type: ignore[no-any-return]

    return classify
