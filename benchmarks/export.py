"""How long exports take, each file checked against PyTorch before it is kept, and what int8 costs and saves.

    python -m benchmarks.export                                  time of each format, for MnasNet-A1
    python -m benchmarks.export --trained FOLDER --data DATA     sizes, top-1 and latencies of a training's exports

The time is from a network in memory to the checked file; importing torch and onnxruntime comes before.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from nas import cpu

cpu.prepare()

import torch  # noqa: E402

import latency  # noqa: E402
from candidates import zoo  # noqa: E402
from candidates.export import CALIBRATED, FORMATS, export, load_network  # noqa: E402
from candidates.export.samples import Samples, random_images  # noqa: E402
from nas.find_candidate import find_candidate, find_weights  # noqa: E402
from nas.packing import Packing, pack  # noqa: E402

LIMITS = {"onnx": 10.0, "tflite": 1.0}
CALIBRATION, CHECKED = 128, 100


def main(
    model: str = "mnasnet-a1",
    repeats: int = 3,
    trained: Annotated[str | None, typer.Option(help="A training folder.")] = None,
    data: Annotated[str | None, typer.Option(help="Its images.")] = None,
) -> None:
    """Time the exports of MODEL, or compare a trained network's files."""
    with tempfile.TemporaryDirectory() as folder:
        if trained is not None:
            _compare(trained, data or "digits", Path(folder))
        else:
            _time(model, repeats, Path(folder))


def _time(model: str, repeats: int, folder: Path) -> None:
    arch = zoo.load(model)
    net = load_network(arch, None)
    noise = random_images(arch, CALIBRATION + CHECKED)
    samples = Samples(noise[:CALIBRATION], noise[CALIBRATION:], None, "random images")
    print(f"{model}, {torch.get_num_threads()} threads; int8 with {CALIBRATION} calibration images")
    print("format                 seconds (median)   all                      wanted")
    for name in FORMATS:
        seconds = []
        for number in range(repeats):
            start = time.perf_counter()
            export(
                arch,
                net,
                [name],
                folder / f"{name}-{number}",
                samples=samples if name in CALIBRATED else None,
            )
            seconds.append(time.perf_counter() - start)
        wanted = f"under {LIMITS[name]:.0f} s" if name in LIMITS else ""
        shown = " ".join(f"{s:.2f}" for s in seconds)
        print(f"{name:<20}   {statistics.median(seconds):16.2f}   {shown:<22}   {wanted}", flush=True)


def _compare(trained: str, data: str, folder: Path) -> None:
    formats = [name for name in FORMATS if name != "torch"]
    weights = find_weights(trained)
    written = pack(find_candidate(trained), weights, Packing(formats, folder / "out", data)).files
    print("file                            MB   top-1    PyTorch   same class   median ms   runtime")
    for item in written:
        device = "cpu:litert" if item.path.suffix == ".tflite" else "cpu"
        found = latency.measure(item.path, device)
        check = item.check
        assert check is not None
        accuracy = (
            ""
            if check.top1 is None
            else f"{check.top1:7.2%}  {check.float_top1:7.2%}    {check.agreement:7.2%}"
        )
        print(
            f"{item.path.name:<28}  {item.path.stat().st_size / 1e6:5.2f}   {accuracy:<28}   "
            f"{found.latency_ms:9.3f}   {found.runtime}{'' if found.valid else '  in doubt'}",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
