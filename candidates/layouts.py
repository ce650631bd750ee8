"""Weights trained elsewhere: the names that torchvision's and timm's MnasNets have for ours.

Their networks pad symmetrically and have a BN epsilon of 1e-5. Names as in torchvision's models/mnasnet.py
and timm's models/efficientnet.py.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from candidates import checks
from candidates.architecture import Architecture
from candidates.errors import InputError
from candidates.layered import Layered

if TYPE_CHECKING:
    from torch import Tensor

OWN = "own"
BN_EPSILON = 1e-5
SHOWN = 6  # names that an error lists
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

Pair = tuple[str, str]
"""Our module's name and theirs."""


def adapted(arch: Layered, layout: str, tensors: Mapping[str, Tensor]) -> Layered:
    """`arch` as `layout` builds it: its padding, epsilon and skips, and as many classes as the file has."""
    if layout == OWN:
        return arch
    if not isinstance(arch, Architecture):
        raise InputError(f"--layout {layout} is for MnasNets; {arch.name or arch.id} is not made of blocks")
    last = tensors.get({"torchvision": "classifier.1.bias", "timm": "classifier.bias"}[layout])
    blocks = arch.blocks
    if layout == "timm" and blocks[0].in_channels != arch.stem:
        # mnasnet-small's first block: in the reference its declared channels keep the skip away, in timm
        # those that arrive decide.
        blocks = (replace(blocks[0], in_channels=arch.stem), *blocks[1:])
    return replace(
        arch,
        blocks=blocks,
        bn_epsilon=BN_EPSILON,
        padding="symmetric",
        classes=arch.classes if last is None or last.ndim != 1 else len(last),
    )


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a state dict that torch.save wrote; nothing else is loaded."""
    import torch

    from candidates.network import read_safetensors

    try:
        if path.suffix == ".safetensors":
            return read_safetensors(path)
        with warnings.catch_warnings():  # about pickle protocols
            warnings.simplefilter("ignore")
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path} holds more than tensors (pickled code), or is cut short; expected a state dict, as "
            "torch.save(net.state_dict(), …) writes, or a .safetensors file"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, BadZipFile) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} cannot be read as weights: {reason}") from None
    for key in ("state_dict", "model", "model_state_dict"):  # as training scripts wrap it
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
            break
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise InputError(
            f"{path} holds {checks.shown(type(found).__name__)}; expected a state dict of tensors"
        )
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def renamed(arch: Layered, tensors: Mapping[str, Tensor], layout: str, where: str) -> dict[str, Tensor]:
    """`tensors` under our names; InputError, with the list of what does not fit, unless each has its place."""
    import torch

    from candidates.network import Network

    with torch.device("meta"):
        ours = Network(arch.spec()).state_dict()
    names = dict(name_map(arch, layout)) if layout != OWN else {name: name for name in ours}
    missing = [
        theirs
        for name, theirs in names.items()
        if theirs not in tensors and not name.endswith("num_batches_tracked")
    ]
    known = set(names.values())
    surplus = [name for name in tensors if name not in known]
    wrong = [
        f"{theirs} is {_shape(tensors[theirs])} and not {_shape(ours[name])}"
        for name, theirs in names.items()
        if theirs in tensors and tensors[theirs].shape != ours[name].shape
    ]
    if missing or surplus or wrong:
        parts = [
            f"{what}: {', '.join(listed[:SHOWN])}{f' and {len(listed) - SHOWN} more' if len(listed) > SHOWN else ''}"
            for what, listed in (("missing", missing), ("without a place", surplus), ("shapes", wrong))
            if listed
        ]
        raise InputError(
            f"{where} does not fit {arch.name or arch.id} in the {layout} layout; {'; '.join(parts)}"
        )
    counts = torch.zeros((), dtype=torch.int64)
    return {name: tensors.get(theirs, counts) for name, theirs in names.items()}


def name_map(arch: Layered, layout: str) -> Iterator[tuple[str, str]]:
    """Our state dict's names, each with the one that `layout` (torchvision or timm) has for it."""
    if not isinstance(arch, Architecture):
        raise InputError(f"--layout {layout} is for networks made of blocks")
    for pair in _LAYOUTS[layout](arch):
        ours, theirs = pair
        if ours.endswith(("squeeze.reduce", "squeeze.expand", "linear")):
            for part in ("weight", "bias"):
                yield f"{ours}.{part}", f"{theirs}.{part}"
            continue
        conv, norm = theirs.split()
        yield f"{ours}.conv.weight", f"{conv}.weight"
        for part in _NORM:
            yield f"{ours}.norm.{part}", f"{norm}.{part}"


def _places(arch: Architecture) -> Iterator[tuple[int, int, int, bool]]:
    """Block, position in it, index of the layer, and whether it expands, for every layer of the blocks."""
    index = 1
    for number, block in enumerate(arch.blocks):
        for position in range(block.repeats):
            layer = arch.layers[index]
            yield number, position, index, layer.expanded != layer.in_channels
            index += 1


def _torchvision(arch: Architecture) -> Iterator[Pair]:
    yield "layers.0.conv", "layers.0 layers.1"
    for number, position, index, expands in _places(arch):
        ours = f"layers.{index}"
        if number == 0:  # the first block lies flat in their list, after the stem's three modules
            start = 3 + 5 * position
            yield f"{ours}.depthwise", f"layers.{start} layers.{start + 1}"
            yield f"{ours}.project", f"layers.{start + 3} layers.{start + 4}"
            continue
        theirs = f"layers.{7 + number}.{position}.layers"
        if expands:
            yield f"{ours}.expand", f"{theirs}.0 {theirs}.1"
        yield f"{ours}.depthwise", f"{theirs}.3 {theirs}.4"
        yield f"{ours}.project", f"{theirs}.6 {theirs}.7"
    head, last = len(arch.layers) - 2, 7 + len(arch.blocks)
    yield f"layers.{head}.conv", f"layers.{last} layers.{last + 1}"
    yield f"layers.{head + 1}.linear", "classifier.1"


def _timm(arch: Architecture) -> Iterator[Pair]:
    yield "layers.0.conv", "conv_stem bn1"
    for number, position, index, expands in _places(arch):
        ours, theirs = f"layers.{index}", f"blocks.{number}.{position}"
        if expands:
            yield f"{ours}.expand", f"{theirs}.conv_pw {theirs}.bn1"
            yield f"{ours}.depthwise", f"{theirs}.conv_dw {theirs}.bn2"
            yield f"{ours}.project", f"{theirs}.conv_pwl {theirs}.bn3"
        else:
            yield f"{ours}.depthwise", f"{theirs}.conv_dw {theirs}.bn1"
            yield f"{ours}.project", f"{theirs}.conv_pw {theirs}.bn2"
        if arch.layers[index].squeeze:
            yield f"{ours}.squeeze.reduce", f"{theirs}.se.conv_reduce"
            yield f"{ours}.squeeze.expand", f"{theirs}.se.conv_expand"
    head = len(arch.layers) - 2
    yield f"layers.{head}.conv", "conv_head bn2"
    yield f"layers.{head + 1}.linear", "classifier"


_LAYOUTS: dict[str, Callable[[Architecture], Iterator[Pair]]] = {"torchvision": _torchvision, "timm": _timm}
LAYOUTS = (OWN, *_LAYOUTS)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one value"
