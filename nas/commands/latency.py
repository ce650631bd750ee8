"""nas-latency: how long a model takes on a device."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.commands.app import examples, new_app, refuse_given, run

if TYPE_CHECKING:
    from latency.device import Device
    from latency.measurement import Measurement
    from latency.model import Model
    from latency.profiling import NodeTime
    from latency.settings import Settings

measure_app = new_app()
COOL_DOWN_SECONDS = 10.0
_PLAIN = ("blocks", "fresh", "retry_invalid", "fps")
GROUPS = {
    "Where": ("device", "threads", "runner", "device_timeout"),
    "What": ("resolution", "width", "batch"),
    "How": ("blocks", "no_reference", "fresh", "retry_invalid"),
    "What is shown": ("compare", "profile", "chart", "fps", "as_json"),
}


def main() -> None:
    """The entry point: a first word that is a subcommand wins over a model of that name."""
    from nas.commands.latency_tools import NAMES, app

    run(app if sys.argv[1:2] and sys.argv[1] in NAMES else measure_app, "nas-latency")


@measure_app.command(
    groups=GROUPS,
    epilog=examples(
        "nas-latency mnasnet-a1 --threads 1,2,4",
        "nas-latency mine.onnx theirs.onnx --compare --device pixel",
        "nas-latency runs/photos --profile --chart layers.svg",
        "nas-latency devices | build-runner | history | calibrate, each with --help",
    ),
)
def measure(
    context: typer.Context,
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="An .onnx or .tflite file, or a candidate.")
    ],
    device: Annotated[str, typer.Option(help="cpu, cpu:litert, cuda, auto, or an attached phone.")] = "cpu",
    threads: Annotated[str, typer.Option(help="Numbers of threads, such as 1,2,4.")] = "1",
    resolution: Annotated[
        int | None, typer.Option(help="Measure an architecture at this input size.")
    ] = None,
    width: Annotated[float, typer.Option(help="Measure an architecture at this width multiplier.")] = 1.0,
    batch: Annotated[str, typer.Option(help="Images at once, such as 1,32.")] = "1",
    fps: Annotated[bool, typer.Option("--fps", help="Show frames per second.")] = False,
    blocks: Annotated[int, typer.Option(help="Separate invocations: load, warm-up, timed runs.")] = 3,
    no_reference: Annotated[
        bool, typer.Option("--no-reference", help="Do not correct for the machine's drift.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what the store knows.")] = False,
    retry_invalid: Annotated[
        int, typer.Option(help="Measure again, after a pause, up to this often while invalid.", min=0)
    ] = 0,
    compare: Annotated[
        bool, typer.Option("--compare", help="Measure the models in turn and compare them with the first.")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Where the time goes, layer by layer.")] = False,
    chart: Annotated[
        Path | None, typer.Option(help="With --profile: write a bar chart to this .svg file.")
    ] = None,
    runner: Annotated[
        Path | None, typer.Option(help="A benchmark_model or nas-runner built for the phone.")
    ] = None,
    device_timeout: Annotated[
        float, typer.Option(help="Seconds to wait for a phone that vanished.", min=0.0)
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure how long models take on a device."""
    from candidates import InputError
    from latency.registry import AUTO, automatic, by_format, resolve
    from latency.settings import Settings

    found = _told_apart([model(text, resolution, width) for text in models], models)
    counts, batches = whole_numbers("--threads", threads, 1024), whole_numbers("--batch", batch, 65_536)
    other = "--profile" if profile else "--compare" if compare else None
    if other:
        refuse_given(context, _PLAIN, f"is for plain measurements, not for {other}")
        for name, text, values in (("threads", threads, counts), ("batch", batch, batches)):
            if len(values) > 1:
                raise InputError(f"--{name} is {text}; expected one number with {other}")
    if profile:
        refuse_given(context, ("no_reference", "batch"), "is for measurements, not for --profile")
    if chart is not None and (not profile or chart.suffix != ".svg"):
        raise InputError(f"--chart {str(chart)!r}: expected --profile and a file name that ends in .svg")
    if device == AUTO:
        device, why = automatic()
        print(why, file=sys.stderr)
    if profile:
        _show_profile(found[0], _profile(found, counts[0], device, runner), counts[0], chart, as_json)
        return
    where = resolve(device, runner, device_timeout)
    placed = [(one, by_format(where, one.formats)) for one in found]
    for one, here in placed:
        here.runtime(one.form_on(here.formats))  # a device that cannot run one of them says so first
    if compare:
        _compare(placed, Settings(counts[0], 1, reference=not no_reference, batch=batches[0]), as_json)
        return
    results = []
    for one, here in placed:
        for count in counts:
            for images in batches:
                settings = Settings(count, blocks, reference=not no_reference, batch=images)
                results.append(_measured(one, here, settings, fresh, retry_invalid))
    show(results, as_json, fps)


def _measured(one: Model, where: Device, settings: Settings, fresh: bool, retries: int) -> Measurement:
    from latency.store import Store, measured

    store = Store()
    result, known = measured(one, where, settings, store, fresh)
    if known:
        print(f"{one.name}: measured at {result.measured_at} (--fresh measures again)", file=sys.stderr)
    for _ in range(retries):
        if result.valid:
            break
        print(f"{one.name}: {'; '.join(result.reasons)}; once more after a pause", file=sys.stderr)
        time.sleep(COOL_DOWN_SECONDS)
        result, _ = measured(one, where, settings, store, fresh=True)
    return result


def _compare(placed: list[tuple[Model, Device]], settings: Settings, as_json: bool) -> None:
    from latency.comparing import compare

    results, comparisons = compare(placed, settings)
    if as_json:
        print_json(
            {
                "format": 1,
                "measurements": [m.to_dict() for m in results],
                "comparisons": [c.to_dict() for c in comparisons],
            }
        )
        return
    show(results, as_json=False)
    for c in comparisons:
        word = ("slower" if c.ratio > 1 else "faster") if c.differs else "no different"
        print(
            f"{c.model} takes {c.ratio:.3f} times as long as {c.baseline} (95 %: {c.interval[0]:.3f} to "
            f"{c.interval[1]:.3f}, {c.rounds} rounds): {word}"
        )


def _profile(found: list[Model], threads: int, device: str, runner: Path | None) -> list[NodeTime]:
    from candidates import InputError
    from latency.android import AndroidDevice
    from latency.device import alone
    from latency.profiling import profile
    from latency.registry import resolve

    if len(found) != 1:
        raise InputError(f"--profile takes one model, not {len(found)}")
    if device == "cpu":
        with alone(device):
            return profile(found[0], threads)
    where = resolve(device, runner)
    if not isinstance(where, AndroidDevice):
        raise InputError(
            f"--profile is for --device cpu (ONNX Runtime) or a phone (LiteRT's op profile), not {device!r}"
        )
    return where.profile(found[0], threads)


def _show_profile(
    found: Model, nodes: list[NodeTime], threads: int, chart: Path | None, as_json: bool
) -> None:
    from candidates.files import write_text
    from latency.chart import svg
    from latency.profiling import by_layer, to_dicts

    layers = by_layer(nodes)
    if chart is not None:
        write_text(chart, svg(f"{found.name}, {threads} thread(s)", layers))
    if as_json:
        print_json({"format": 1, "model": found.name, "nodes": to_dicts(nodes), "layers": to_dicts(layers)})
        return
    width = max(len(layer.name) for layer in layers)
    print(f"{'layer':<{width}}         ms  share")
    for layer in layers:
        bar = "█" * round(40 * layer.ms / max(x.ms for x in layers))
        print(f"{layer.name:<{width}}  {layer.ms:>9.3f}  {layer.share:>5.1%}  {bar}")


def whole_numbers(option: str, text: str, most: int) -> list[int]:
    """The numbers in `1,2,4`, each once."""
    from candidates import InputError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= most for part in parts):
        raise InputError(f"{option} is {text!r}; expected whole numbers from 1 to {most}, such as 1 or 1,2,4")
    return list(dict.fromkeys(int(part) for part in parts))


def model(text: str, resolution: int | None = None, width: float = 1.0) -> Model:
    """A model from a path, a named architecture or a candidate, scaled where it is not a file."""
    from candidates import InputError
    from latency.model import FORMATS, Model, model_of
    from nas.find_candidate import find_candidate

    if Path(text).suffix[1:].lower() in FORMATS:
        if resolution is not None:
            raise InputError(f"--resolution is for architectures; {text} has its input size in the file")
        if width != 1.0:
            raise InputError(f"--width is for architectures; {text} has its channels in the file")
        return model_of(text)
    arch = find_candidate(text).architecture.scaled(width)
    if resolution is not None:
        arch = arch.for_input(resolution)
    return Model(arch.name or arch.id, architecture=arch)


def _told_apart(found: list[Model], given: list[str]) -> list[Model]:
    """The models, those of the same name called as the user called them."""
    from collections import Counter
    from dataclasses import replace

    names = Counter(one.name for one in found)
    return [
        replace(one, name=text) if names[one.name] > 1 else one
        for one, text in zip(found, given, strict=True)
    ]


def show(results: list[Measurement], as_json: bool, fps: bool = False) -> None:
    """Print measurements: one JSON list, or a table with what is wrong with each below it."""
    if as_json:
        speeds = [{"frames_per_second": m.frames_per_second} if fps else {} for m in results]
        print_json([m.to_dict() | speed for m, speed in zip(results, speeds, strict=True)])
        return
    width = max(len("model"), *(len(m.model) for m in results))
    batches = any(m.batch != 1 for m in results) or fps
    extra = ("  batch" if batches else "") + ("  frames/s" if fps else "")
    print(f"{'model':<{width}}  threads{extra}  median ms    p5 ms   p95 ms     CV  runs  on")
    for m in results:
        extra = (f"  {m.batch:>5}" if batches else "") + (f"  {m.frames_per_second:>8.1f}" if fps else "")
        print(
            f"{m.model:<{width}}  {m.threads:>7}{extra}  {m.latency_ms:>9.3f}  {m.p5_ms:>7.3f}  {m.p95_ms:>7.3f}  "
            f"{m.cv:>5.1%}  {m.count:>4}  {m.device}, {m.runtime} {m.runtime_version}"
        )
        for reason in m.reasons:
            print(f"{'':<{width}}  invalid: {reason}")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2)
    print()
