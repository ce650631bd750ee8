"""Full trainings of several networks under one recipe and budget: accuracy over latency.

python -m benchmarks.train_cifar ~/cifar10 runs/cifar mobilenet-v2*0.5 --epochs 10 --fraction 0.2

A network is a CANDIDATE (a zoo name, a JSON file, a run's folder), with * and a width multiplier where wanted.
All are fitted to the data, at --resolution, trained by nas-train's own code and measured on this machine's CPU.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from nas import cpu

cpu.prepare()

import torch  # noqa: E402

import latency  # noqa: E402
from candidates import Architecture, Baseline  # noqa: E402
from nas.data import open_source  # noqa: E402
from nas.find_candidate import find_candidate  # noqa: E402
from nas.prepared import absolute  # noqa: E402
from nas.trainer import opening, session  # noqa: E402
from nas.trainer import recipe as recipes  # noqa: E402
from nas.trainer.data import choose  # noqa: E402

DEFAULT = ["mnasnet-a1*0.5", "mobilenet-v2-reduced", "resnet-like"]


def main(
    data: str,
    networks: Annotated[list[str] | None, typer.Argument()] = None,
    recipe: str = "sgd-cosine",
    epochs: int = 10,
    fraction: float = 0.2,
    resolution: int = 32,
    settings: Annotated[list[str] | None, typer.Option("--set")] = None,
    seed: int = 0,
    workers: int = 2,
    threads: int = 1,
    out: Path | None = None,
) -> None:
    """Train each network for `epochs` epochs of a `fraction` of the images and print a table."""
    values = ["precision=float32", f"epoch_fraction={fraction}", *(settings or [])]
    chosen = recipes.overridden(recipes.shortened(recipes.load(recipe), epochs), values)
    loaded = choose(open_source(data))
    images = round(epochs * fraction * len(loaded.train))
    print(
        f"{loaded.source.name}: {len(loaded.train)} images to train, {len(loaded.held)} to validate; "
        f"{recipe}, {epochs} epochs of {fraction:g}, {images} images in all, batch {chosen.batch}, seed {seed}"
    )
    where = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} threads"
    )
    print(
        f"trained on {where} at {resolution}×{resolution}; latency on this CPU, {threads} thread(s), batch 1\n"
    )
    print(
        "network                     parameters  M mult-adds  validation      test  latency ms  valid  seconds"
    )
    with tempfile.TemporaryDirectory() as temporary:
        for number, text in enumerate(networks or DEFAULT):
            arch = opening.fitted(_architecture(text), loaded.source, resolution)
            path = (out or Path(temporary)) / f"{number}-{arch.id}"
            folder = session.new_training(text, arch, absolute(data), loaded, chosen, seed, path)
            begun = time.monotonic()
            result = session.run(folder, loaded, session.Options(workers=workers), sys.stderr)
            assert result is not None, "nothing asks the training to stop"
            seconds = time.monotonic() - begun
            measured = latency.measure(arch, device="cpu", threads=threads, blocks=3)
            test = (result["test"] or {}).get("top1")
            print(
                f"{text[-26:]:<26}  {arch.parameters():>10,}  {arch.multiply_adds() / 1e6:>11.1f}  "
                f"{100 * result['accuracy']:>8.2f} %  {'—' if test is None else f'{100 * test:.2f} %':>8}  "
                f"{measured.latency_ms:>10.3f}  {measured.valid!s:>5}  {seconds:>7.0f}",
                flush=True,
            )
    print(f"n = 1 seed; {len(loaded.held)} validation images")


def _architecture(text: str) -> Architecture | Baseline:
    name, _, width = text.partition("*")
    arch = find_candidate(name).architecture
    return arch.scaled(float(width)) if width else arch


if __name__ == "__main__":
    typer.run(main)
