"""Where the time goes: ONNX Runtime's own profile, with its fused nodes mapped back to what was written.

ONNX Runtime fuses operations and changes layouts: a convolution with its activation and skip becomes one node
called `<name>_nchwc`, and ReorderInput and ReorderOutput nodes appear between layouts. Each executed node is
traced to the node of the file that it came from; a reordering counts for the node that needs it next.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from candidates import InputError, Layered
from candidates.operations import operations
from latency.model import Model
from latency.runtimes import onnx_dtype, onnx_session, onnx_shape, random_input
from latency.summary import median

RUNS = 30
WARMUP = 5
_MARK = "nas:"
_KERNEL = "_kernel_time"


@dataclass(frozen=True)
class NodeTime:
    """One node of the file, by its first output: what was executed for it, median milliseconds and share."""

    name: str
    operation: str
    layer: str
    ms: float
    share: float


def profile(model: Model, threads: int = 1, runs: int = RUNS) -> list[NodeTime]:
    """Times of a model's nodes in order of execution on this machine's ONNX Runtime.

    The profiler's own cost is in each node, so shares are sounder than times; the sum exceeds the latency.
    """
    if "onnx" not in model.formats:
        raise InputError(
            f"{model.name} is a .tflite file; on a host only ONNX Runtime can be profiled, give an .onnx file"
        )
    content, known = _named(model.content("onnx"), model.name)
    runs_ms, executed = _node_runs(_trace(content, threads, runs + WARMUP, model.name), known)
    medians = {name: median(times[WARMUP:]) for name, times in runs_ms.items()}
    total = sum(medians.values())
    layers = _layers(model.architecture) if model.architecture is not None else {}
    return [
        NodeTime(name, executed[name], layers.get(_index(name), ""), ms, ms / total)
        for name, ms in medians.items()
    ]


def operation_times(arch: Layered, threads: int = 1, runs: int = 6) -> dict[int, float]:
    """Milliseconds by index of candidates.operations; what was fused away has no entry."""
    last = len(operations(arch.layers, arch.resolution)) - 1
    found: dict[int, float] = {}
    for node in profile(Model(arch.id, architecture=arch), threads, runs):
        index = _index(node.name)
        found[last if index < 0 else index] = found.get(last if index < 0 else index, 0.0) + node.ms
    return found


def _named(content: bytes, name: str) -> tuple[bytes, set[str]]:
    """The model with each node named after its first output, and those names."""
    import onnx

    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's own kind, which has no types to import by
        raise InputError(f"{name} is not an ONNX model: {error}") from None
    known = set()
    for node in model.graph.node:
        key = next((output for output in node.output if output), node.name)
        node.name = f"{_MARK}{key}:"
        known.add(key)
    return model.SerializeToString(), known


def _trace(content: bytes, threads: int, runs: int, name: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        session = onnx_session(content, threads, name, profile=str(Path(folder) / "trace"))
        feeds = {
            t.name: random_input(t.name, onnx_shape(name, t, batch=1), onnx_dtype(name, t.type))
            for t in session.get_inputs()
        }
        for _ in range(runs):
            session.run(None, feeds)
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
    return events


def _node_runs(
    events: Sequence[Mapping[str, Any]], known: set[str]
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Milliseconds of each run by node of the file, in order of execution; and what operator was executed."""
    found: dict[str, list[float]] = {}
    executed: dict[str, str] = {}
    waiting = 0.0
    latest: str | None = None
    for event in events:
        if event.get("cat") == "Session" and event.get("name") == "model_run":
            if latest is not None and waiting:  # a reordering at the very end belongs to what came before it
                found[latest][-1] += waiting
            waiting, latest = 0.0, None
            continue
        title = str(event.get("name", ""))
        if event.get("cat") != "Node" or not title.endswith(_KERNEL):
            continue
        ms = float(event["dur"]) / 1000.0
        key = _origin(title.removesuffix(_KERNEL), known)
        if key is None:
            waiting += ms
            continue
        found.setdefault(key, []).append(ms + waiting)
        executed[key] = str(event.get("args", {}).get("op_name", ""))
        waiting, latest = 0.0, key
    return found, executed


def _origin(title: str, known: set[str]) -> str | None:
    """The file's node that an executed node came from; None for reorderings, which have no name of ours.

    Layout-changed nodes are named by the output of the original, the others by the name that we gave.
    """
    if title.startswith(_MARK):
        key = title.removeprefix(_MARK).rpartition(":")[0]
        return key if key in known else None
    key = title.removesuffix("_nchwc")
    while key not in known and "_" in key:
        key = key.rpartition("_")[0]
    return key if key in known else None


def _index(name: str) -> int:
    """The operation's index that the ONNX writer put into a tensor's name; -1 for others."""
    digits = name.partition(".")[0].removeprefix("t")
    return int(digits) if digits.isdigit() else -1


def _layers(arch: Layered) -> dict[int, str]:
    names = {}
    ops = operations(arch.layers, arch.resolution)
    for index, op in enumerate(ops):
        layer = arch.layers[op.layer]
        names[index] = (
            f"{op.layer} {layer.operation} k{layer.kernel} {layer.in_channels}→{layer.out_channels}"
        )
    names[-1] = names[len(ops) - 1]  # the last operation's tensor is called after the network's output
    return names


def by_layer(nodes: Sequence[NodeTime]) -> list[NodeTime]:
    """The nodes summed by the layer that they are of."""
    found: dict[str, list[NodeTime]] = {}
    for node in nodes:
        found.setdefault(node.layer or node.name, []).append(node)
    return [
        NodeTime(
            name,
            "+".join(dict.fromkeys(n.operation for n in group)),
            name,
            sum(n.ms for n in group),
            sum(n.share for n in group),
        )
        for name, group in found.items()
    ]


def to_dicts(nodes: Sequence[NodeTime]) -> list[dict[str, Any]]:
    """Plain values for JSON."""
    return [asdict(node) for node in nodes]
