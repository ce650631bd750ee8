"""Candidates as files that run without this toolkit."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from html import escape
from io import StringIO
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from candidates import network as network_module
from candidates.architecture import Architecture
from candidates.errors import InputError, RunError
from candidates.files import made_folders, replaced, write_text

if TYPE_CHECKING:
    from candidates.network import Network

OPSET = 20
TOLERANCE = 1e-4  # the largest difference between the logits of PyTorch and of an exported float model
FORMATS = ("torch", "onnx")
MOST_BYTES = 32 * 10**9


@dataclass(frozen=True)
class Exported:
    """A file that was written, and the largest difference between its logits and PyTorch's, where compared."""

    format: str
    path: Path
    difference: float | None = None


def load_network(arch: Architecture, weights: Path | None) -> Network:
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


def _check_size(arch: Architecture) -> None:
    """Refuse what no machine of ours could hold, before memory runs out on it."""
    needed = 4 * arch.parameters() + 3 * arch.peak_activation_bytes()
    if needed > MOST_BYTES:
        raise InputError(
            f"architecture {arch.name or arch.id} needs {needed / 1e9:,.0f} GB for its weights and activations; "
            f"expected at most {MOST_BYTES / 1e9:.0f} GB"
        )


def export_torch(
    arch: Architecture, net: Network, folder: Path, details: Mapping[str, Any]
) -> list[Exported]:
    """Write `model.py`, `architecture.json`, `model.safetensors` and `README.md` into `folder`.

    `model.py` needs torch alone: `from model import load; net = load()`. `details` are lines for the README.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    write_text(folder / "model.py", Path(network_module.__file__).read_text(encoding="utf-8"))
    values = {**json.loads(arch.to_json()), "id": arch.id, "spec": arch.spec()}
    write_text(folder / "architecture.json", json.dumps(values, indent=1) + "\n")
    with replaced(folder / "model.safetensors") as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, temporary)
        except SafetensorError as error:  # what the system said, such as a full disk, is only in its text
            raise RunError(f"the weights cannot be written to {folder}: {error}") from None
    write_text(folder / "README.md", _readme(arch, details))
    difference = _compare_torch(arch, net, folder)
    return [
        Exported("torch", folder / name, difference)
        for name in ("model.py", "architecture.json", "model.safetensors")
    ]


def export_onnx(arch: Architecture, net: Network, folder: Path) -> Exported:
    """Write `model.onnx` by PyTorch's exporter, for any batch; checked and compared before it is kept."""
    import onnx
    import torch

    path = folder / "model.onnx"
    example = torch.zeros(2, arch.channels_in, arch.resolution, arch.resolution)
    with replaced(path) as temporary:
        with _silenced():
            torch.onnx.export(
                net,
                (example,),
                str(temporary),
                dynamo=True,
                opset_version=OPSET,
                input_names=["input"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
                external_data=False,
            )
        onnx.checker.check_model(str(temporary), full_check=True)
        difference = _compare_onnx(arch, net, temporary)
    return Exported("onnx", path, difference)


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep the exporter's progress, its hints about torchvision and its deprecations to itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _compare_onnx(arch: Architecture, net: Network, path: Path) -> float:
    """The largest difference over batches of 1 and 3; RunError where it is over the tolerance."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for batch in (1, 3):
        images = torch.randn(batch, arch.channels_in, arch.resolution, arch.resolution, generator=generator)
        with torch.no_grad():
            expected = net(images)
        found = torch.from_numpy(session.run(None, {"input": images.numpy()})[0])
        largest = max(largest, _difference(expected, found))
    return _within("the ONNX model", largest)


def _compare_torch(arch: Architecture, net: Network, folder: Path) -> float:
    """The difference between `net` and what the exported folder gives, loaded as its user would."""
    import torch

    images = torch.randn(
        2, arch.channels_in, arch.resolution, arch.resolution, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        return _within(
            "the exported folder's network", _difference(net(images), network_module.load(folder)(images))
        )


def _difference(expected: Any, found: Any) -> float:
    """Largest difference, relative to the largest logit where logits exceed 1."""
    return float((expected - found).abs().max() / max(1.0, float(expected.abs().max())))


def _within(what: str, difference: float) -> float:
    if not difference <= TOLERANCE:
        raise RunError(
            f"{what} differs from PyTorch's by {difference:.2g}, more than {TOLERANCE:g}; it was not kept"
        )
    return difference


def export(
    arch: Architecture, weights: Path | None, formats: list[str], out: Path, details: Mapping[str, Any]
) -> list[Exported]:
    """Write `arch` in each of `formats` into the folder `out`, all of them or none.

    A file that is there already is replaced only once all formats were written and checked.
    """
    _check_out(out)
    net = load_network(arch, weights)
    with (
        made_folders(out.parent),
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary,
    ):
        work = Path(temporary)
        written: list[Exported] = []
        if "torch" in formats:
            written += export_torch(arch, net, work, details)
        if "onnx" in formats:
            written.append(export_onnx(arch, net, work))
        out.mkdir(exist_ok=True)
        for file in sorted(work.iterdir()):
            file.replace(out / file.name)
    return [Exported(item.format, out / item.path.name, item.difference) for item in written]


def _check_out(out: Path) -> None:
    """An earlier export may be replaced; files of these names that somebody else wrote may not."""
    if (out / "architecture.json").exists() or not out.is_dir():
        return
    for name in ("model.py", "README.md"):
        if (out / name).exists():
            raise InputError(f"{out / name} exists and is not an earlier export's; choose another --out")


def _readme(arch: Architecture, details: Mapping[str, Any]) -> str:
    blocks = "\n".join(f"    {block}" for block in arch.blocks)
    facts = "\n".join(f"- {name}: {escape(str(value), quote=False)}" for name, value in details.items())
    return f"""# {escape(arch.name or arch.id, quote=False)}

An image classifier: input N×{arch.channels_in}×{arch.resolution}×{arch.resolution} float32, normalised as in
training; output N×{arch.classes} logits. It needs torch alone.

```python
from model import load

net = load()  # in eval mode, with the weights of model.safetensors
```

- architecture id: {arch.id}
- parameters: {arch.parameters():,}
- multiply-adds: {arch.multiply_adds():,}
{facts}

Stem {arch.stem} channels, head {arch.head}; blocks in MnasNet's notation:

{blocks}
"""
