"""nas-latency's subcommands: devices, build-runner."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.commands.app import SETTINGS

app = typer.Typer(add_completion=False, context_settings=SETTINGS, no_args_is_help=True)
NAMES = ("devices", "build-runner")


@app.command()
def devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """What is attached, and whether it is fit to measure."""
    from latency.fitness import fitness

    found = fitness()
    if as_json:
        _print_json(found)
        return
    for entry in found:
        print(f"{entry['device']}  {entry['description']}")
        print(f"    runs {', '.join(entry['formats']) or 'nothing yet'}")
        for problem in entry["problems"]:
            print(f"    {problem}")
        if not entry["problems"]:
            print("    fit to measure")


@app.command("build-runner")
def build_runner(
    ndk: Annotated[Path | None, typer.Option(help="An Android NDK's folder, to build for a phone.")] = None,
    abi: Annotated[str, typer.Option(help="The phone's ABI.")] = "arm64-v8a",
    api: Annotated[int, typer.Option(help="The lowest Android API level to run on.", min=21)] = 26,
    compiler: Annotated[
        str | None, typer.Option(help="A compiler; for arm64 Linux boards aarch64-linux-gnu-gcc.")
    ] = None,
    library: Annotated[
        Path | None, typer.Option(help="libonnxruntime.so, or the .aar or .whl that holds it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build the program that times .onnx models on a phone or a board, and keep it for later.

    For a phone: nas-latency build-runner --ndk ~/Android/Sdk/ndk/27.0.12077973
    --library onnxruntime-android-1.22.0.aar (from Maven Central, com.microsoft.onnxruntime).
    """
    from candidates import InputError
    from latency.build_runner import build, compiler_of

    if ndk is not None and compiler is not None:
        raise InputError("--ndk and --compiler name two compilers; give one of them")
    path = build(compiler_of(ndk, abi, api) if ndk else compiler or "cc", library)
    if as_json:
        _print_json({"format": 1, "runner": str(path), "target": path.parent.name})
    else:
        print(f"built {path} for {path.parent.name}, with ONNX Runtime's library beside it")


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2)
    print()
