"""Weights that a training starts from: another training's, an export's, a checkpoint's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from candidates import Architecture, Baseline, build, checks, preprocessing
from candidates.errors import InputError
from candidates.files import expanded
from candidates.network import read_safetensors
from nas.trainer import checkpoints
from nas.trainer.folder import WEIGHTS, is_training, open_training

KINDS = ("ema", "plain")
Weights = dict[str, torch.Tensor]


def initial_weights(
    source: str | None, kind: str, arch: Architecture | Baseline
) -> tuple[dict[str, Any] | None, Weights | None]:
    """Where the weights are from (with the normalisation they were trained with, if known), and the weights.

    They have to fit `arch` but for the classifier, which starts anew where it has other classes. `kind` is
    `ema` (as shipped) or `plain` (the last checkpoint's, without the average).
    """
    checks.one_of("--init-weights", kind, KINDS)
    if source is None:
        return None, None
    path = expanded("--init-from", source)
    weights = _read(path, kind)
    known = {"path": str(path.resolve()), "weights": kind}
    return {"from": known, "normalisation": _normalisation(path, arch)}, fitting(weights, arch, path)


def fitting(weights: Weights, arch: Architecture | Baseline, path: Path) -> Weights:
    """What of `weights` goes into `arch`: all of it, or all but the classifier; else an InputError lists why not."""
    expected = {name: tensor.shape for name, tensor in build(arch).state_dict().items()}
    last = [name for name in expected if expected[name] and not name.endswith("num_batches_tracked")][-2:]
    wrong = [
        f"{name} is {list(weights[name].shape)}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in weights and weights[name].shape != shape and name not in last
    ]
    wrong += [f"{name} is missing" for name in expected if name not in weights and name not in last]
    wrong += [f"{name} is unknown" for name in weights if name not in expected]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(
            f"--init-from {path} does not fit the architecture {arch.id}: {'; '.join(wrong[:3])}{more}; "
            "give the candidate that these weights were trained for"
        )
    return {name: tensor for name, tensor in weights.items() if tensor.shape == expected[name]}


def _read(path: Path, kind: str) -> Weights:
    if is_training(path):
        return _of_training(path, kind)
    if path.suffix == ".pt":
        return _of_checkpoint(path, kind, None)
    file = path / WEIGHTS if path.is_dir() else path
    try:
        return read_safetensors(file)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:160]
        raise InputError(
            f"--init-from {file} holds no weights that can be read: {reason}; expected a training's or an export's "
            "folder, a .safetensors file or a checkpoint"
        ) from None


def _of_training(path: Path, kind: str) -> Weights:
    folder = open_training(path)
    if kind == "ema" and (path / WEIGHTS).is_file():
        return _read(path / WEIGHTS, kind)
    found = list(checkpoints.checkpoint_paths(path).values())
    if not found:
        raise InputError(f"--init-from {path} has neither {WEIGHTS} nor a checkpoint yet; let it train first")
    return _of_checkpoint(found[-1], kind, folder.architecture.id)


def _of_checkpoint(path: Path, kind: str, architecture_id: str | None) -> Weights:
    state = checkpoints.load(path, architecture_id)
    average = state["average"] if kind == "ema" else None
    weights: Weights = state["network"] if average is None else average["weights"]
    return weights


def _normalisation(
    path: Path, arch: Architecture | Baseline
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Weights go with the normalisation they were trained with, where that is known and has the channels."""
    folder = next((p for p in (path, *path.parents[:2]) if (p / preprocessing.FILE).is_file()), None)
    if folder is None:
        return None
    found = preprocessing.Preprocessing.load(folder / preprocessing.FILE)
    return (found.mean, found.std) if len(found.mean) == arch.channels_in else None
