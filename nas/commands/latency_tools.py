"""nas-latency's subcommands: devices, build-runner, history, calibrate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.commands.app import new_app, refuse_given
from nas.commands.latency import model, print_json

if TYPE_CHECKING:
    from latency.measurement import Measurement
    from latency.predictor import Predictor

app = new_app()
_MEASURING = ("device", "space", "samples", "held_out", "threads", "start_from", "seed", "fresh")
NAMES = ("devices", "build-runner", "history", "calibrate")


@app.command()
def devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """What is attached, and whether it is fit to measure."""
    from latency.fitness import fitness

    found = fitness()
    if as_json:
        print_json(found)
        return
    for entry in found:
        print(f"{entry['device']}  {entry['description']}")
        print(f"    runs {', '.join(entry['formats']) or 'nothing yet'}")
        for problem in entry["problems"] or ["fit to measure"]:
            print(f"    {problem}")


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
        print_json({"format": 1, "runner": str(path), "target": path.parent.name})
    else:
        print(f"built {path} for {path.parent.name}, with ONNX Runtime's library beside it")


@app.command()
def history(
    text: Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx or .tflite file, or a candidate.")],
    resolution: Annotated[int | None, typer.Option(help="The architecture's input size.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """How a model's latency moved over time."""
    from latency.store import Store

    found = Store().history(model(text, resolution).digest())
    if as_json:
        print_json([m.to_dict() for m in found])
        return
    if not found:
        print(f"{text} was not measured yet")
    for m in found:
        note = "" if m.valid else f"  invalid: {'; '.join(m.reasons)}"
        print(
            f"{m.measured_at}  {m.latency_ms:>9.3f} ms  CV {m.cv:>5.1%}  {m.threads} thread(s)  "
            f"{f'batch {m.batch}  ' if m.batch > 1 else ''}"
            f"{m.device}, {m.runtime} {m.runtime_version}{note}"
        )


@app.command()
def calibrate(
    context: typer.Context,
    device: Annotated[str, typer.Option(help="cpu, cpu:litert, auto, or an attached phone.")] = "cpu",
    space: Annotated[str, typer.Option(help="The space to cover: a name, or a YAML file.")] = "mnasnet",
    samples: Annotated[int, typer.Option(help="Architectures to measure and fit to.")] = 60,
    held_out: Annotated[int, typer.Option(help="Others to measure and judge the fit on.")] = 12,
    threads: Annotated[int, typer.Option(help="Number of threads.", min=1)] = 1,
    start_from: Annotated[
        Path | None, typer.Option(help="Another device's predictor, to adapt with few samples.")
    ] = None,
    from_table: Annotated[
        Path | None, typer.Option(help="Fit to published numbers: model,width,resolution,latency_ms (CSV).")
    ] = None,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="With --from-table: judge by leaving out each row.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the predictor (default: the user's cache folder; with --from-table nowhere)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which architectures are measured.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what the store knows.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fit a predictor of a device's latency to measurements on it, or to a published table."""
    from candidates import InputError

    if from_table is not None:
        refuse_given(context, _MEASURING, "is for measuring; --from-table fits to published numbers")
        _from_table(from_table, leave_one_out, out, as_json)
        return
    if leave_one_out:
        raise InputError("--leave-one-out goes with --from-table FILE")
    from latency.calibration import calibrate as fit
    from latency.predictor import Predictor, stored_path
    from latency.registry import AUTO, automatic, resolve
    from latency.store import Store
    from search_space import load_space

    if device == AUTO:
        device, why = automatic()
        print(why, file=sys.stderr)
    prior = Predictor.load(start_from) if start_from else None
    where, found_space = resolve(device), load_space(space)
    predictor = fit(
        where, found_space, samples, held_out, threads, seed, prior, space, _progress, Store(), fresh
    )
    path = out or stored_path(where, threads)
    _save(predictor, path)
    if as_json:
        print_json({"format": 1, "predictor": str(path), **_summary(predictor)})
        return
    print(f"wrote {path} ({predictor.samples} samples, {predictor.seconds:.0f} s)")
    if q := predictor.quality:
        rank = "" if q.get("spearman") is None else f", Spearman {q['spearman']:.3f}"
        print(
            f"on {q['count']} held-out architectures: {q['within_5']:.0%} within ±5 %, {q['within_10']:.0%} "
            f"within ±10 %, RMSPE {q['rmspe']:.1%}{rank}"
        )


def _progress(done: int, total: int, m: Measurement) -> None:
    print(f"{done}/{total}  {m.latency_ms:.2f} ms{'' if m.valid else '  (in doubt)'}", file=sys.stderr)


def _save(predictor: Predictor, path: Path) -> None:
    from candidates import InputError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    predictor.save(path)


def _summary(predictor: Predictor) -> dict[str, object]:
    return {
        "device": predictor.device,
        "samples": predictor.samples,
        "seconds": predictor.seconds,
        "source": predictor.source,
        "spread": predictor.spread,
        "held_out": dict(predictor.quality),
    }


def _from_table(path: Path, judge: bool, out: Path | None, as_json: bool) -> None:
    from latency.table import fit_table, leave_one_out, read_table

    rows = read_table(path)
    predictor = fit_table(rows, device=path.stem)
    if out is not None:
        _save(predictor, out)
    judged = leave_one_out(rows) if judge else None
    if as_json:
        document: dict[str, object] = {"format": 1, **_summary(predictor), "count": len(rows)}
        if judged is not None:
            document |= {
                "mean_error": judged.mean_error,
                "max_error": judged.max_error,
                "within_10": judged.within_10,
                "outliers": [
                    {"row": i + 1, "model": rows[i].architecture.name, "error": judged.errors[i]}
                    for i in judged.outliers
                ],
            }
        print_json(document)
        return
    print(f"fitted to {len(rows)} published rows of {path}: latencies from it are modelled, never measured")
    if judged is not None:
        print(
            f"leaving out each row: mean error {judged.mean_error:.1%}, largest {judged.max_error:.1%}, "
            f"{judged.within_10} of {len(rows)} within ±10 %"
        )
        for i in judged.outliers:
            name, ms = rows[i].architecture.name, rows[i].latency_ms
            print(f"    outlier: {name}, {ms:g} ms published, modelled {judged.errors[i]:+.0%} off")
    if out is not None:
        print(f"wrote {out}")
