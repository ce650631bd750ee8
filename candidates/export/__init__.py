"""Candidates as files that run without this toolkit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from candidates import network as network_module
from candidates.errors import InputError
from candidates.export import onnx_file, tflite_file
from candidates.export.card import Facts, card
from candidates.export.checking import MAX_DROP, Check, Checker
from candidates.export.running import of_network, open_exported
from candidates.export.samples import Samples
from candidates.export.torch_folder import write_torch
from candidates.export_folder import FILES, check_out
from candidates.files import made_folders, write_bytes, write_text
from candidates.layered import Layered
from candidates.layouts import adapted, read_state_dict, renamed

if TYPE_CHECKING:
    from candidates.network import Network

FORMATS = ("torch", "onnx", "onnx-int8", "tflite", "tflite-int8", "tflite-int8-weights")
CALIBRATED = ("onnx-int8", "tflite-int8", "tflite-int8-weights")  # need real images, to be held against
MOST_BYTES = 32 * 10**9


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how it compares with the PyTorch network; None where nothing is to run."""

    format: str
    path: Path
    check: Check | None = None


@dataclass(frozen=True)
class Int8:
    """How int8 files are made: they may lose `max_drop` of top-1 (0 to 1).

    `float_io` gives the TFLite file float32 input and output. `net`, of the same architecture, is quantised
    in place of the exported network, and held against it all the same.
    """

    max_drop: float = MAX_DROP
    float_io: bool = False
    net: Any = None


Beside = Callable[[list[Exported]], dict[str, str]]
"""Told what was written, gives the texts that lie beside the models, by file name."""


def readme(arch: Layered) -> Beside:
    """A model card alone, for an export without further facts."""
    return lambda written: {"README.md": card(arch, written, Facts())}


def load_network(arch: Layered, weights: Path | None) -> Network:
    """`arch` in eval mode with the weights of a safetensors file, or untrained (seed 0) without one."""
    _check_size(arch)
    net = network_module.build_network(arch.spec(), seed=0)
    if weights is None:
        return net.eval()
    try:
        net.load_state_dict(network_module.read_safetensors(weights))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        # PyTorch's first line says that there are errors, the next ones which.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[min(1, len(lines) - 1)] if lines else type(error).__name__
        raise InputError(
            f"{weights} does not hold the weights of architecture {arch.id}: {shorten(reason, 160)}; "
            "give the folder that its training or export wrote"
        ) from None
    return net.eval()


def load_foreign(arch: Layered, weights: Path, layout: str) -> tuple[Layered, Network]:
    """`arch` with weights that were trained elsewhere, in eval mode, and as its `layout` builds it."""
    _check_size(arch)
    tensors = read_state_dict(weights)
    arch = adapted(arch, layout, tensors)
    named = renamed(arch, tensors, layout, str(weights))
    net = network_module.build_network(arch.spec(), seed=0)
    net.load_state_dict(named)
    return arch, net.eval()


def _check_size(arch: Layered) -> None:
    """Refuse what no machine of ours could hold, before memory runs out on it."""
    needed = 4 * arch.parameters() + 3 * arch.peak_activation_bytes()
    if needed > MOST_BYTES:
        raise InputError(
            f"architecture {arch.name or arch.id} needs {needed / 1e9:,.0f} GB for its weights and activations; "
            f"expected at most {MOST_BYTES / 1e9:.0f} GB"
        )


def export(
    arch: Layered,
    net: Any,
    formats: list[str],
    out: Path,
    beside: Beside | None = None,
    samples: Samples | None = None,
    int8: Int8 | None = None,
) -> list[Exported]:
    """Write `net`, which is of `arch` and in eval mode, in each of `formats` into the folder `out`: all or none.

    Every file is compared with `net` on `samples` (noise without them) before it is kept; the formats of
    CALIBRATED need them. An earlier export in `out` is replaced, all of it, so that no two networks lie in one
    folder; and only once all files were written and checked.
    """
    earlier = check_out(out)
    if any(name.startswith("tflite-int8") for name in formats):
        tflite_file.check_quantizer()
    int8 = int8 or Int8()
    checker = Checker(arch, of_network(net), samples, int8.max_drop)
    # On the file system of `out`, which may be a mounted folder, so that files can be moved there in one step.
    beside_it = out if out.is_dir() else out.parent
    with (
        made_folders(beside_it),
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=beside_it) as temporary,
    ):
        work = Path(temporary)
        made = _Made(arch, net, work, checker, int8)
        written = [item for name in FORMATS if name in formats for item in _WRITERS[name](made)]
        texts = (beside or readme(arch))(written)
        for name, text in texts.items():
            write_text(work / name, text)
        out.mkdir(exist_ok=True)
        wanted = {item.path.name for item in written} | texts.keys()
        assert wanted <= set(FILES), wanted
        for name in FILES:
            if earlier and name not in wanted:
                (out / name).unlink(missing_ok=True)
        for file in sorted(work.iterdir()):
            if file.name in wanted:
                file.replace(out / file.name)
    return [replace(item, path=out / item.path.name) for item in written]


@dataclass
class _Made:
    """One export under way, in the folder `work`; the ONNX file that others are made from is written once."""

    arch: Layered
    net: Any
    work: Path
    checker: Checker
    int8: Int8

    @property
    def calibration(self) -> Any:
        if self.checker.samples is None:
            raise InputError(f"{', '.join(CALIBRATED)} need real images; name them with --calibrate")
        return self.checker.samples.calibration

    def onnx(self) -> Path:
        path = self.work / "model.onnx"
        if not path.exists():
            onnx_file.write_onnx(self.arch, self.net, path)
        return path

    def to_quantise(self) -> Path:
        """The float ONNX file that the int8 one is made from."""
        if self.int8.net is None:
            return self.onnx()
        path = self.work / "fine-tuned.onnx"
        onnx_file.write_onnx(self.arch, self.int8.net, path)
        return path

    def tflite(self) -> bytes:
        """A float .tflite file whose operations quantisers know."""
        return tflite_file.float_tflite(self.arch, self.int8.net or self.net, quantisable=True)


def _torch(made: _Made) -> list[Exported]:
    names = write_torch(made.arch, made.net, made.work)
    check = made.checker.same("the exported folder's network", open_exported(made.work))
    return [Exported("torch", made.work / name, check) for name in names]


def _onnx(made: _Made) -> list[Exported]:
    path = made.onnx()
    return [Exported("onnx", path, made.checker.same("the ONNX model", open_exported(path)))]


def _onnx_int8(made: _Made) -> list[Exported]:
    path = made.work / "model-int8.onnx"
    write_bytes(path, onnx_file.int8_onnx(made.to_quantise(), made.calibration))
    return [Exported("onnx-int8", path, made.checker.as_accurate("the int8 ONNX model", open_exported(path)))]


def _tflite(made: _Made) -> list[Exported]:
    path = made.work / "model.tflite"
    write_bytes(path, tflite_file.float_tflite(made.arch, made.net))
    return [Exported("tflite", path, made.checker.same("the TFLite model", open_exported(path)))]


def _tflite_int8(made: _Made) -> list[Exported]:
    path = made.work / "model-int8.tflite"
    write_bytes(path, tflite_file.int8_tflite(made.tflite(), made.calibration, made.int8.float_io))
    check = made.checker.as_accurate("the int8 TFLite model", open_exported(path))
    return [Exported("tflite-int8", path, check)]


def _tflite_int8_weights(made: _Made) -> list[Exported]:
    _ = made.calibration
    path = made.work / "model-int8-weights.tflite"
    write_bytes(path, tflite_file.int8_weights_tflite(made.tflite()))
    check = made.checker.as_accurate("the TFLite model with int8 weights", open_exported(path))
    return [Exported("tflite-int8-weights", path, check)]


_WRITERS: dict[str, Callable[[_Made], list[Exported]]] = {
    "torch": _torch,
    "onnx": _onnx,
    "onnx-int8": _onnx_int8,
    "tflite": _tflite,
    "tflite-int8": _tflite_int8,
    "tflite-int8-weights": _tflite_int8_weights,
}
