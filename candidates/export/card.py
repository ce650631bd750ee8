"""The model card: what an exported network is, what it costs, how good it is and how it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from candidates.cost import operation_multiply_adds, operation_parameters
from candidates.layered import Layered
from candidates.operations import Operation, operations
from candidates.preprocessing import Preprocessing

if TYPE_CHECKING:
    from candidates.export import Exported

BAR = 24  # characters for the widest layer


@dataclass(frozen=True)
class Facts:
    """What a card says besides the architecture itself.

    `lines` are facts by name (accuracy with its data set, split and epochs; where the weights come from),
    `latencies` measurements as `latency.Measurement.to_dict` gives them.
    """

    preprocessing: Preprocessing | None = None
    labels: Sequence[str] = ()
    lines: Mapping[str, Any] = field(default_factory=dict)
    latencies: Sequence[Mapping[str, Any]] = ()


def card(arch: Layered, written: Sequence[Exported], facts: Facts) -> str:
    """The card as Markdown."""
    parts = [
        f"# {plain(arch.name or arch.id)}",
        f"An image classifier: input N×{arch.channels_in}×{arch.resolution}×{arch.resolution} float32, "
        f"normalised as below; output N×{arch.classes} logits.",
        _summary(arch, facts),
        _files(written),
        _latencies(facts.latencies),
        _input(facts),
        _usage(arch, written),
        f"## Architecture\n\n```text\n{drawing(arch)}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(value: object) -> str:
    """Text that Markdown and HTML leave alone, in one line."""
    return escape(" ".join(str(value).split()), quote=False).replace("|", "\\|")


def _summary(arch: Layered, facts: Facts) -> str:
    lines = {
        "architecture id": arch.id,
        "parameters": f"{arch.parameters():,}",
        "multiply-adds": f"{arch.multiply_adds():,} for one image",
        "largest sum of activations": f"{arch.peak_activation_bytes() / 1e6:.1f} MB in float32",
        **facts.lines,
    }
    return "\n".join(f"- {name}: {plain(value)}" for name, value in lines.items())


def _files(written: Sequence[Exported]) -> str:
    rows = []
    for item in written:
        check, size = item.check, item.path.stat().st_size
        if check is None:
            said = "—"
        elif check.difference is not None:
            said = f"logits differ by {check.difference:.1g} at most, on {check.images} {plain(check.source)}"
        else:
            said = f"the same class for {check.agreement:.1%} of {check.images} {plain(check.source)}"
            if check.top1 is not None:
                said += f"; top-1 {check.top1:.2%} (PyTorch {check.float_top1:.2%})"
        shown = f"{size / 1e6:.2f} MB" if size > 50_000 else f"{size:,} bytes"
        rows.append(f"| {item.path.name} | {item.format} | {shown} | {said} |")
    head = "## Files\n\n| file | format | size | against the PyTorch network |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(rows) if rows else ""


def _latencies(latencies: Sequence[Mapping[str, Any]]) -> str:
    if not latencies:
        return ""
    rows = []
    for m in latencies:
        reasons = m.get("reasons")
        doubts = map(str, reasons) if isinstance(reasons, list | tuple) else ()
        note = "" if m.get("valid", True) else "in doubt: " + "; ".join(doubts)
        cells = [
            m.get("model"),
            f"{_number(m.get('latency_ms'))} ms",
            f"{_number(m.get('p5_ms'))} to {_number(m.get('p95_ms'))} ms",
            f"{m.get('count')} runs, {m.get('threads')} thread(s)",
            f"{m.get('device')} ({m.get('cpu') or 'unknown processor'})",
            f"{m.get('runtime')} {m.get('runtime_version')}",
            f"{m.get('measured_at') or ''} {note}",
        ]
        rows.append("| " + " | ".join(plain(cell) for cell in cells) + " |")
    return (
        "## Latency\n\nOne image, back to back.\n\n"
        "| model | median | 5th to 95th percentile | of | device | runtime | when |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n" + "\n".join(rows)
    )


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "—"


def _input(facts: Facts) -> str:
    if facts.preprocessing is None:
        return ""
    steps = "\n".join(
        f"{number}. {step}" for number, step in enumerate(facts.preprocessing.to_dict()["steps"], 1)
    )
    labels = ""
    if facts.labels:
        shown = ", ".join(plain(name) for name in facts.labels[:20])
        labels = (
            f"\n\nThe {len(facts.labels)} classes, in the order of the logits, are in labels.txt: {shown}"
        )
        labels += ", …" if len(facts.labels) > 20 else ""
    mean, std = (
        ", ".join(f"{v:g}" for v in values) for values in (facts.preprocessing.mean, facts.preprocessing.std)
    )
    return (
        f"## Input\n\n{steps}\n\nmean {mean}; std {std} ({plain(facts.preprocessing.source)}). "
        f"preprocessing.json says the same for programs.{labels}"
    )


def _usage(arch: Layered, written: Sequence[Exported]) -> str:
    formats = {item.format for item in written}
    parts = []
    if "torch" in formats:
        parts.append(
            "With torch alone:\n\n```python\nfrom model import load\n\n"
            "net = load()  # in eval mode, with the weights of model.safetensors\n```"
        )
    if formats & {"onnx", "onnx-int8"}:
        parts.append("ONNX: input `input`, output `logits`, float32 in the int8 file too, any batch.")
    if formats & {"tflite", "tflite-int8", "tflite-int8-weights"}:
        parts.append(
            f"TFLite: input `input` 1×{arch.resolution}×{arch.resolution}×{arch.channels_in} (channels last), "
            "output `logits`, signature `serving_default`. Where the input is int8, it is "
            "round(normalised / scale) + zero_point with the scale and zero point that the file declares "
            "(also in preprocessing.json), and logits are (output − zero_point) × scale."
        )
    return "## Use\n\n" + "\n\n".join(parts) if parts else ""


def drawing(arch: Layered) -> str:
    """The layers as text: a bar for the feature map's side, then what each layer is and costs."""
    by_layer: dict[int, list[Operation]] = {}
    for op in operations(arch.layers, arch.resolution):
        by_layer.setdefault(op.layer, []).append(op)
    rows = []
    for index, ops in by_layer.items():
        layer, last = arch.layers[index], ops[-1]
        side = last.out_size[0]
        rows.append(
            (
                "█" * max(1, round(BAR * (side / arch.resolution) ** 0.5)),
                f"{last.out_size[0]}×{last.out_size[1]}×{last.out_channels}",
                layer.words(),
                f"{sum(map(operation_parameters, ops)):,}",
                f"{sum(map(operation_multiply_adds, ops)) / 1e6:.2f} M",
            )
        )
    head = ("", "output", "layer", "parameters", "multiply-adds")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(5)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column > 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    )
