"""Model: what is measured, as a file's bytes or as an architecture that is written on demand."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from candidates import InputError, Layered

FORMATS = ("onnx", "tflite")
MOST_BYTES = 2**31 - 1


@dataclass(frozen=True)
class Model:
    """A model to measure. Exactly one of `path` and `architecture` is set."""

    name: str
    path: Path | None = None
    architecture: Layered | None = None

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that this model is there in or can be written in."""
        return FORMATS if self.path is None else (self.path.suffix[1:].lower(),)

    def form_on(self, formats: Sequence[str]) -> str:
        """The first of `formats`, which a device runs, that this model has; else its own, which the device refuses."""
        return next((form for form in formats if form in self.formats), self.formats[0])

    @property
    def resolution(self) -> int | None:
        """The input's height, where an architecture tells."""
        return None if self.architecture is None else self.architecture.resolution

    def digest(self) -> str:
        """What the store knows this model by: the architecture's id, or the SHA-256 of the file."""
        if self.architecture is not None:
            return f"architecture:{self.architecture.id}"
        return f"sha256:{hashlib.sha256(self.content(self.formats[0])).hexdigest()}"

    def content(self, form: str, batch: int = 1) -> bytes:
        """The model as a file of format `form` (onnx or tflite), with synthetic weights when written here.

        Timing does not depend on the weights' values, so none need to be trained. What is written here is for
        `batch` images where the format fixes their number.
        """
        if form not in self.formats:
            raise InputError(f"{self.name} is not a .{form} file, which this device runs")
        if self.path is not None:
            return self._file
        assert self.architecture is not None
        return _write(self.architecture, form, batch)

    @cached_property
    def _file(self) -> bytes:
        assert self.path is not None
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}") from None
        return _whole(content, self.path) if self.path.suffix.lower() == ".onnx" else content


def model_of(source: str | os.PathLike[str] | Layered | Model, name: str | None = None) -> Model:
    """A Model from a path to an .onnx or .tflite file, or from an architecture."""
    if isinstance(source, Model):
        return source
    if isinstance(source, Layered):
        return Model(name or source.name or source.id, architecture=source)
    path = Path(source)
    if path.suffix[1:].lower() not in FORMATS:
        raise InputError(f"model {os.fspath(source)!r} is not an .onnx or .tflite file, nor an architecture")
    if not path.is_file():
        raise InputError(f"model {os.fspath(source)!r} does not exist; expected a path to a file")
    return Model(name or path.name, path=path)


def _whole(content: bytes, path: Path) -> bytes:
    """An ONNX file with the weights that lie in files beside it, as PyTorch's exporter writes them.

    Whoever runs it, here or on a phone, gets these bytes alone.
    """
    if b"location" not in content:  # the key under which a tensor names its file
        return content
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # protobuf's own kind, which has no types to import by
        return content  # the runtime says what is wrong with it
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise InputError(
            f"the weights beside {path} cannot be read: {' '.join(str(error).split())[:200]}"
        ) from None
    if model.ByteSize() > MOST_BYTES:
        raise InputError(
            f"{path} has {model.ByteSize() / 1e9:.1f} GB with the weights beside it; expected at most "
            f"{MOST_BYTES / 1e9:.1f} GB, which is what one ONNX file can hold"
        )
    whole: bytes = model.SerializeToString()
    return whole


def _write(arch: Layered, form: str, batch: int) -> bytes:
    if form == "onnx":
        from candidates.onnx_writer import onnx_model

        content: bytes = onnx_model(arch, batch=batch).SerializeToString()
        return content
    from candidates.tflite_writer import tflite_model

    return tflite_model(arch)
