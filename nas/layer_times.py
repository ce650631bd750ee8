"""Where an architecture's time goes on a run's device, layer by layer, kept in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from candidates import Architecture, checks
from candidates.errors import InputError, RunError
from candidates.files import read_text, write_text
from candidates.operations import operations
from nas.words import operation_name

if TYPE_CHECKING:
    from latency.device import Device
    from nas.run_folder import RunFolder

FILE = "layers.json"
FORMAT = 1


@dataclass(frozen=True)
class LayerTimes:
    """Milliseconds of each layer, in order of execution, with what measured them.

    The profiler's own cost is in each, so that their sum exceeds the latency.
    """

    source: str
    layers: tuple[tuple[str, float], ...]


def read_layer_times(folder: Path) -> dict[str, LayerTimes]:
    """What a run's folder keeps, by architecture id; InputError for a wrong file."""
    path = folder / FILE
    if not path.is_file():
        return {}
    values = checks.parsed_json(str(path), read_text(path))
    checks.format_number(str(path), values, FORMAT)
    found = {}
    for id, value in checks.mapping(f"{path}: profiles", values.get("profiles")).items():
        where = f"{path}: {checks.shown(id)}"
        profile = checks.mapping(where, value)
        pairs = [checks.sequence(where, pair) for pair in checks.sequence(where, profile.get("layers"))]
        if any(len(pair) != 2 for pair in pairs):
            raise InputError(f"{where} has a layer that is not a name with its milliseconds; delete the file")
        layers = tuple((checks.text(where, name), checks.number(where, ms)) for name, ms in pairs)
        found[id] = LayerTimes(checks.text(f"{where}: source", profile.get("source")), layers)
    return found


def write_layer_times(folder: Path, profiles: Mapping[str, LayerTimes]) -> None:
    """Keep `profiles` in a run's folder."""
    document = {
        "format": FORMAT,
        "profiles": {
            id: {"source": p.source, "layers": [[name, ms] for name, ms in p.layers]}
            for id, p in profiles.items()
        },
    }
    write_text(folder / FILE, json.dumps(document, indent=1) + "\n")


def add_layer_times(folder: RunFolder, archs: list[Architecture], device: Device) -> str | None:
    """Profile what the folder has no profile of; return why not, where the device cannot be profiled."""
    known = read_layer_times(folder.path)
    try:
        for arch in archs:
            if arch.id not in known:
                known[arch.id] = _profiled(arch, device, folder.settings.threads)
    except (InputError, RunError) as error:
        return f"no latencies by layer: {error}"
    write_layer_times(folder.path, known)
    return None


def _profiled(arch: Architecture, device: Device, threads: int) -> LayerTimes:
    times = device.operation_times(arch, threads)
    if times is None:
        raise InputError(f"{device.name} has no profiler")
    names = layer_names(arch)
    layers = dict.fromkeys(range(len(names)), 0.0)
    for index, op in enumerate(operations(arch.layers, arch.resolution)):
        layers[op.layer] += times.get(index, 0.0)
    runtime, version = device.runtime(device.formats[0])
    source = f"{runtime} {version} on {device.name}, {threads} thread{'s' if threads > 1 else ''}"
    return LayerTimes(source, tuple((names[index], ms) for index, ms in layers.items()))


def layer_names(arch: Architecture) -> list[str]:
    """A short name for each layer: its block and place, operation, kernel and channels."""
    names = [f"stem conv 3×3 → {arch.stem}"]
    for number, block in enumerate(arch.blocks, start=1):
        name = operation_name(block).replace("depthwise-separable", "dsconv").replace("convolution", "conv")
        end = f"{name} {block.kernel}×{block.kernel}{' SE' if block.se else ''} → {block.out_channels}"
        names += [f"{number}.{repeat + 1} {end}" for repeat in range(block.repeats)]
    return [*names, f"head conv 1×1 → {arch.head}", f"classifier → {arch.classes}"]
