"""Checkpoints: all that a training needs to go on as if it had never stopped.

A checkpoint is a PyTorch file of tensors and plain values, read with `weights_only`. It has the network, the
average, the optimiser, the schedule, the float16 scaler, the position within the epoch and what was found so
far. Random draws are functions of the seed and the position, so there is no random state besides.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from candidates import checks
from candidates.errors import InputError, RunError
from candidates.files import write_bytes

FORMAT = 1
FOLDER = "checkpoints"
_NAME = re.compile(r"step-(\d{9})\.pt")


def checkpoint_paths(folder: Path) -> dict[int, Path]:
    """The checkpoints of a training's folder by step, in order."""
    found = {}
    for path in (folder / FOLDER).glob("step-*.pt"):
        match = _NAME.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def save(folder: Path, step: int, state: Mapping[str, Any], keep: set[int]) -> Path:
    """Write the checkpoint of `step`, then remove those that are not in `keep`.

    Where it cannot be written, a RunError says so, and the checkpoints before it are still there.
    """
    path = folder / FOLDER / f"step-{step:09d}.pt"
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    try:
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, buffer.getbuffer())
    except OSError as error:
        last = list(checkpoint_paths(folder).values())
        remedy = f"the last good checkpoint is {last[-1]}" if last else "there is no earlier checkpoint"
        raise RunError(
            f"the checkpoint {path} cannot be written: {error.strerror or error}; {remedy}; "
            f"free some space, then go on with: nas-train --resume {folder}"
        ) from None
    for number, other in checkpoint_paths(folder).items():
        if number != step and number not in keep:
            other.unlink(missing_ok=True)
    return path


def load(path: Path, architecture_id: str | None) -> dict[str, Any]:
    """A checkpoint's content; InputError where it is damaged, pickled code or of another architecture (None: any)."""
    remedy = "delete it, and the checkpoint before it is used"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(f"{path} holds pickled code or is no checkpoint: it is not read; {remedy}") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}); is it cut short? {remedy}") from None
    values = checks.mapping(str(path), state)
    checks.format_number(str(path), values, FORMAT)
    if architecture_id is not None and values.get("id") != architecture_id:
        raise InputError(
            f"{path} is of the architecture {checks.shown(values.get('id'))}, but the folder's is "
            f"{architecture_id}; {remedy}"
        )
    checks.mapping(f"{path}: network", values.get("network"))
    if values.get("average") is not None:
        average = checks.mapping(f"{path}: average", values["average"])
        checks.mapping(f"{path}: the average's weights", average.get("weights"))
    return {"average": None, **values}
