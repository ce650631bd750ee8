"""nas-export: a candidate as files that run without this toolkit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.commands.app import examples, new_app, run

app = new_app()


def main() -> None:
    """The entry point."""
    run(app, "nas-export")


@app.command(epilog=examples("nas-export runs/cifar --format onnx,torch --out mynet"))
def export(
    candidate: Annotated[
        str,
        typer.Argument(help="A zoo name, a candidate's JSON, a run folder (its best) or a training folder."),
    ],
    out: Annotated[Path, typer.Option(help="The folder that is written to.")],
    formats: Annotated[str, typer.Option("--format", help="torch, onnx, or both.")] = "onnx,torch",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a candidate as files that run without this toolkit."""
    from candidates import checks
    from candidates.errors import InputError
    from candidates.files import check_folder, expanded
    from nas.find_candidate import find_candidate, find_weights

    wanted = [part.strip() for part in formats.split(",") if part.strip()]
    if not wanted:
        raise InputError(f"--format is {formats!r}; expected torch, onnx or both")
    for name in wanted:
        checks.one_of("--format", name, ("torch", "onnx"))
    out = expanded("--out", out)
    check_folder("--out", out)
    found = find_candidate(candidate)
    weights = find_weights(candidate)
    if weights is not None and weights.parent.resolve() == out.resolve():
        raise InputError(f"--out {out} is the folder that is exported; choose another")

    from nas import cpu

    cpu.prepare()
    from candidates.export import export as write

    untrained = weights is None
    details: dict[str, Any] = {"weights": "untrained (seed 0)" if untrained else f"from {weights}"}
    if found.latency_ms is not None and found.measurement:
        details["latency"] = (
            f"{found.latency_ms:.3g} ms on {found.measurement.get('device')}, "
            f"{found.measurement.get('runtime')} {found.measurement.get('runtime_version')}, "
            f"{found.measurement.get('threads')} thread(s)"
        )
    written = write(found.architecture, weights, wanted, out, details)
    if as_json:
        files = [{"format": w.format, "path": str(w.path), "difference": w.difference} for w in written]
        json.dump({"id": found.architecture.id, "untrained": untrained, "files": files}, sys.stdout, indent=2)
        print()
        return
    for item in written:
        check = "" if item.difference is None else f"  (differs from PyTorch by {item.difference:.1g})"
        print(f"{item.path}{check}")
    if untrained:
        print(
            "the weights are untrained (seed 0): a search ranks architectures, training them in full comes after"
        )


if __name__ == "__main__":
    main()
