"""nas-latency: how long a model takes on a device."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.commands.app import SETTINGS, run

if TYPE_CHECKING:
    from latency.measurement import Measurement
    from latency.model import Model

measure_app = typer.Typer(add_completion=False, context_settings=SETTINGS)


def main() -> None:
    """The entry point: a first word that is a subcommand wins over a model of that name."""
    from typer.main import get_command

    from nas.commands.latency_tools import NAMES, app

    chosen = app if sys.argv[1:2] and sys.argv[1] in NAMES else measure_app
    command: Any = get_command(chosen)
    run(command, "nas-latency")


@measure_app.command(
    epilog="Other uses: nas-latency devices | build-runner | history | calibrate, each with --help."
)
def measure(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="An .onnx or .tflite file, or a candidate.")
    ],
    device: Annotated[str, typer.Option(help="cpu, cpu:litert, auto, or an attached phone.")] = "cpu",
    threads: Annotated[str, typer.Option(help="Numbers of threads, such as 1,2,4.")] = "1",
    resolution: Annotated[
        int | None, typer.Option(help="Measure an architecture at this input size.")
    ] = None,
    blocks: Annotated[int, typer.Option(help="Separate invocations: load, warm-up, timed runs.")] = 3,
    no_reference: Annotated[
        bool, typer.Option("--no-reference", help="Do not correct for the machine's drift.")
    ] = False,
    runner: Annotated[
        Path | None, typer.Option(help="A benchmark_model or nas-runner built for the phone.")
    ] = None,
    device_timeout: Annotated[
        float, typer.Option(help="Seconds to wait for a phone that vanished.", min=0.0)
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure how long models take on a device."""
    from latency.measuring import measure as measure_one
    from latency.registry import AUTO, automatic, resolve

    if device == AUTO:
        device, why = automatic()
        print(why, file=sys.stderr)
    where = resolve(device, runner, device_timeout)
    found = [model(text, resolution) for text in models]
    counts = thread_counts(threads)
    results = [
        measure_one(m, where, n, blocks=blocks, reference=not no_reference) for m in found for n in counts
    ]
    show(results, as_json)


def thread_counts(text: str) -> list[int]:
    """The numbers of threads in `1,2,4`."""
    from candidates import InputError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 1024 for part in parts):
        raise InputError(f"--threads is {text!r}; expected whole numbers above 0, such as 1 or 1,2,4")
    return list(dict.fromkeys(int(part) for part in parts))


def model(text: str, resolution: int | None = None) -> Model:
    """A model from a path, a named architecture or a candidate."""
    from candidates import InputError
    from latency.model import FORMATS, Model, model_of

    if Path(text).suffix[1:].lower() in FORMATS:
        if resolution is not None:
            raise InputError(f"--resolution is for architectures; {text} has its input size in the file")
        return model_of(text)
    arch = _architecture(text)
    if resolution is not None:
        arch = arch.for_input(resolution)
    return Model(arch.name or arch.id, architecture=arch)


def _architecture(text: str) -> Any:
    from candidates import Architecture, InputError, zoo

    if text in zoo.names():
        return zoo.load(text)
    if Path(text).is_file():
        return Architecture.load(text)
    raise InputError(
        f"model {text!r} is neither a file nor one of {', '.join(zoo.names())}; "
        "expected an .onnx or .tflite file, or a candidate"
    )


def show(results: list[Measurement], as_json: bool) -> None:
    """Print measurements: one JSON list, or a table with what is wrong with each below it."""
    if as_json:
        json.dump([m.to_dict() for m in results], sys.stdout, indent=2)
        print()
        return
    width = max(len("model"), *(len(m.model) for m in results))
    print(f"{'model':<{width}}  threads  median ms    p5 ms   p95 ms     CV  runs  on")
    for m in results:
        print(
            f"{m.model:<{width}}  {m.threads:>7}  {m.latency_ms:>9.3f}  {m.p5_ms:>7.3f}  {m.p95_ms:>7.3f}  "
            f"{m.cv:>5.1%}  {m.count:>4}  {m.device}, {m.runtime} {m.runtime_version}"
        )
        for reason in m.reasons:
            print(f"{'':<{width}}  invalid: {reason}")
