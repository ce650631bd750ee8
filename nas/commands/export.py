"""nas-export: a candidate as files that run without this toolkit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.commands.app import examples, new_app, run

if TYPE_CHECKING:
    from candidates.export import Exported

app = new_app()
FORMATS = ("torch", "onnx", "onnx-int8", "tflite", "tflite-int8", "tflite-int8-weights")


def main() -> None:
    """The entry point."""
    run(app, "nas-export")


GROUPS = {
    "The files": ("out", "formats", "float_io", "calibrate", "max_drop", "qat", "measure"),
    "The network": ("weights", "layout", "width", "resolution"),
}


@app.command(
    groups=GROUPS,
    epilog=examples(
        "nas-export trained/ --format torch,onnx,tflite-int8 --calibrate photos/ --out dist",
        "nas-export runs/cifar --format onnx,torch --out mynet",
    ),
)
def export(
    candidate: Annotated[
        str,
        typer.Argument(help="A zoo name, a candidate's JSON, a run folder (its best) or a training folder."),
    ],
    out: Annotated[
        Path, typer.Option(help="The folder that is written to; an earlier export in it is replaced.")
    ],
    formats: Annotated[
        str, typer.Option("--format", help=f"One or more of {', '.join(FORMATS)}.")
    ] = "onnx,torch",
    calibrate: Annotated[
        str | None,
        typer.Option(help="Images to quantise with and to check the files on: as nas-search's --data."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights trained elsewhere: a state dict's .safetensors, .pt or .pth.")
    ] = None,
    layout: Annotated[str, typer.Option(help="Whose names --weights has: own, torchvision or timm.")] = "own",
    width: Annotated[float, typer.Option(help="Width multiplier of an architecture without weights.")] = 1.0,
    resolution: Annotated[
        int | None, typer.Option(help="Input size of an architecture without weights.")
    ] = None,
    max_drop: Annotated[
        float, typer.Option(help="Points of top-1 that an int8 file may lose.", min=0.0, max=100.0)
    ] = 1.0,
    qat: Annotated[
        int, typer.Option(help="Epochs of quantisation-aware fine-tuning before int8 files are made.", min=0)
    ] = 0,
    float_io: Annotated[
        bool, typer.Option("--float-io", help="tflite-int8 takes and gives float32 instead of int8.")
    ] = False,
    measure: Annotated[
        str | None, typer.Option(help="Measure the files on this device (cpu, …) for the model card.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a candidate as files that run without this toolkit."""
    from candidates import checks
    from candidates.errors import InputError
    from candidates.export_folder import check_out
    from candidates.files import check_folder, expanded
    from candidates.layouts import LAYOUTS
    from nas.candidate import Candidate
    from nas.find_candidate import find_candidate, find_weights

    wanted = _formats(formats)
    out = expanded("--out", out)
    check_folder("--out", out)
    checks.one_of("--layout", layout, LAYOUTS)
    found = find_candidate(candidate)
    own = find_weights(candidate)
    named = expanded("candidate", candidate)
    sources = [named if named.is_dir() else named.parent] if named.exists() else []
    sources += [] if weights is None else [expanded("--weights", weights).parent]
    if any(folder.resolve() == out.resolve() for folder in sources) and check_out(out):
        raise InputError(f"--out {out} is the folder that is exported; choose another")
    if own is not None and weights is not None:
        raise InputError(f"{candidate} has weights of its own; give --weights with a bare architecture")
    if weights is None and layout != "own":
        raise InputError(f"--layout {layout} is for --weights, which is missing")
    if weights is not None and not expanded("--weights", weights).is_file():
        raise InputError(
            f"--weights {weights} is not a file; expected a state dict's .safetensors, .pt or .pth"
        )
    if (width, resolution) != (1.0, None):
        if own is not None:
            raise InputError(
                f"{candidate} has trained weights; --width and --resolution are for bare architectures"
            )
        arch = found.architecture.scaled(width)
        found = Candidate(arch if resolution is None else arch.for_input(resolution))
    if float_io and "tflite-int8" not in wanted:
        raise InputError("--float-io is for tflite-int8, which --format does not name")
    if qat and not any("int8" in name for name in wanted):
        raise InputError(f"--qat {qat} is for int8 formats, of which --format names none")
    if qat and own is None and weights is None:
        raise InputError(
            f"--qat {qat} needs trained weights, which {candidate} does not have; train it first"
        )
    if calibrate is None and (quantised := [name for name in wanted if "int8" in name]):
        raise InputError(
            f"--format {','.join(quantised)} needs real images; name a data set of the network's classes with "
            "--calibrate"
        )

    from nas import cpu

    cpu.prepare()
    from nas.packing import Packing, pack

    untrained = own is None and weights is None
    packing = Packing(wanted, out, calibrate, max_drop / 100, float_io, measure, qat)

    def note(text: str) -> None:
        print(text, file=sys.stderr)

    if weights is None:
        packed = pack(found, own, packing, note=note)
    else:
        packed = pack(found, expanded("--weights", weights), packing, layout, note)
    if as_json:
        files = [_described(item) for item in packed.files]
        json.dump(
            {"id": packed.architecture.id, "untrained": untrained, "files": files}, sys.stdout, indent=2
        )
        print()
        return
    for item in packed.files:
        print(f"{item.path}{_said(item)}")
    print(f"{out / 'README.md'}  (the model card), preprocessing.json")
    if untrained:
        print(
            "the weights are untrained (seed 0): a search ranks architectures, training them in full comes after"
        )


def _formats(text: str) -> list[str]:
    from candidates import checks
    from candidates.errors import InputError

    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if not wanted:
        raise InputError(f"--format is {text!r}; expected one or more of {', '.join(FORMATS)}")
    for name in wanted:
        checks.one_of("--format", name, FORMATS)
    return wanted


def _described(item: Exported) -> dict[str, object]:
    check = item.check
    found: dict[str, object] = {"format": item.format, "path": str(item.path)}
    if check is not None:
        found["difference"] = check.difference
        found["compared_on"] = {"images": check.images, "source": check.source}
        found |= {"top1": check.top1, "float_top1": check.float_top1, "agreement": check.agreement}
    return found


def _said(item: Exported) -> str:
    check = item.check
    if check is None:
        return ""
    if check.difference is not None:
        return f"  (differs from PyTorch by {check.difference:.1g})"
    if check.drop is None:
        return f"  (the same class as PyTorch for {check.agreement:.1%} of {check.images} images)"
    return (
        f"  (top-1 {check.top1:.2%} on {check.images} images, PyTorch {check.float_top1:.2%}: "
        f"{100 * check.drop:+.2f} points lost)"
    )


if __name__ == "__main__":
    main()
