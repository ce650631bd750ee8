"""Lightning Fabric for the devices and processes at hand."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

from candidates.errors import InputError
from nas.training import pick_device

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
NAMES = ("auto", "cpu", "cuda")


def make_fabric(device: str, precision: str) -> Fabric:
    """One device; under torchrun, one for each of its processes, on one machine or several."""
    from lightning_fabric import Fabric

    named = pick_device(device)  # InputError where it is not there
    kind = named.type
    if precision == "float16" and kind == "cpu":
        raise InputError("precision float16 is for GPUs; on a CPU use float32 or bfloat16")
    ranks, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    one = 1 if named.index is None else [named.index]
    options: dict[str, Any] = {"accelerator": kind, "devices": one, "strategy": "auto"}
    if ranks > 1:
        options = {"accelerator": kind, "devices": local, "num_nodes": ranks // local, "strategy": "ddp"}
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # it announces every process
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(**options, precision=_PRECISIONS[precision])  # type: ignore[arg-type]
        fabric.launch()
    return fabric
