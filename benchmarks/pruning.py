"""What stopping hopeless trainings early saves, and what it costs.

    python -m benchmarks.pruning curves.jsonl

Trains random architectures (spread over the space's multiply-adds) with the proxy, scored after every epoch, and
then lets each pruner watch them in many random orders: the share of epochs that was not trained, how often the
best of them was stopped, and how much accuracy the best that was left is behind the best of all. Each curve is
kept in the file as it ends, and a second call goes on from there. Candidates of a search get better as it goes
on, so that there fewer are hopeless.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import typer

from nas import cpu

cpu.prepare()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.proxy_rank import spread  # noqa: E402
from candidates import Architecture  # noqa: E402
from nas.data import load_data  # noqa: E402
from nas.proxy import Proxy  # noqa: E402
from nas.recipe import Recipe  # noqa: E402
from nas.samplers.halting import Rule, rule_of  # noqa: E402

Curve = list[float]


def main(
    keep: Path,
    data: str = "digits",
    architectures: int = 32,
    epochs: int = Recipe.epochs,
    space: str = "mnasnet",
    orders: int = 1000,
    jobs: int = 2,
) -> None:
    """Print what each pruner saves and loses."""
    chosen = spread(space, architectures)
    found = _curves(keep)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        todo = [pool.submit(_train, data, epochs, arch) for arch in chosen if arch.id not in found]
        for future in as_completed(todo):
            row = future.result()
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{row['id']}: {' '.join(f'{value:.3f}' for value in row['curve'])}", flush=True)
    found = _curves(keep)
    curves = [found[arch.id] for arch in chosen]
    finals = np.array([curve[-1] for curve in curves])
    print(f"{len(curves)} architectures of {space}, {data}, {epochs} epochs, {orders} orders")
    print(f"final accuracy {finals.min():.3f} to {finals.max():.3f}, median {np.median(finals):.3f}")
    print("pruner      epochs saved   best stopped   accuracy lost (points)")
    for name in ("median", "hyperband"):
        rule = rule_of(name, epochs)
        assert rule is not None
        runs = [_watched(rule, curves, np.random.default_rng(seed)) for seed in range(orders)]
        saved, stopped, lost = np.array(runs, np.float64).T
        print(f"{name:10}  {saved.mean():12.1%}   {stopped.mean():12.1%}   {100 * lost.mean():12.2f}")


def _watched(rule: Rule, curves: list[Curve], rng: np.random.Generator) -> tuple[float, bool, float]:
    """The share of epochs saved, whether the best was stopped, and the accuracy lost, in one order of arrival."""
    seen: list[Curve] = []
    done: list[float] = []
    for number, index in enumerate(rng.permutation(len(curves))):
        curve = curves[index]
        length = next((n for n in range(1, len(curve)) if rule(curve[:n], seen, number)), len(curve))
        seen.append(curve[:length])
        if length == len(curve):
            done.append(curve[-1])
    best = max(curve[-1] for curve in curves)
    epochs = sum(len(curve) for curve in curves)
    return 1 - sum(len(curve) for curve in seen) / epochs, max(done) < best, best - max(done)


def _train(data: str, epochs: int, arch: Architecture) -> dict[str, Any]:
    curve: Curve = []

    def watch(accuracies: Sequence[float]) -> bool:
        curve[:] = accuracies
        return False

    outcome = _proxy(data, epochs).train(arch, 0, watch)
    return {"id": arch.id, "curve": curve, "seconds": outcome.seconds}


@cache
def _proxy(data: str, epochs: int) -> Proxy:
    return Proxy.prepare(load_data(data, None, None), Recipe(epochs=epochs))


def _curves(keep: Path) -> dict[str, Curve]:
    rows = (
        [json.loads(line) for line in keep.read_text(encoding="utf-8").splitlines()] if keep.exists() else []
    )
    return {row["id"]: row["curve"] for row in rows}


if __name__ == "__main__":
    typer.run(main)
