"""A folder that PyTorch alone loads: `from model import load; net = load()`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from candidates import network
from candidates.errors import RunError
from candidates.files import replaced, write_text
from candidates.layered import Layered


def write_torch(arch: Layered, net: Any, folder: Path) -> list[str]:
    """Write `model.py`, `architecture.json` and `model.safetensors` into `folder`; return their names."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    write_text(folder / "model.py", Path(network.__file__).read_text(encoding="utf-8"))
    values = {**json.loads(arch.to_json()), "id": arch.id, "spec": arch.spec()}
    write_text(folder / "architecture.json", json.dumps(values, indent=1) + "\n")
    with replaced(folder / "model.safetensors") as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, temporary)
        except SafetensorError as error:  # what the system said, such as a full disk, is only in its text
            raise RunError(f"the weights cannot be written to {folder}: {error}") from None
    return ["model.py", "architecture.json", "model.safetensors"]
