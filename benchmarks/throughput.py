"""Speed of full training: the whole loop against a bare step, and decoding by the number of workers.

python -m benchmarks.throughput               images/s of the loop (loading, augmentation, schedule, average) and of
                                              the same network's bare steps on synthetic tensors, in turn
python -m benchmarks.throughput --decoding    images/s of decoded photographs, by the number of workers
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from nas import cpu

cpu.prepare()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image, ImageFilter  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from candidates import build, zoo  # noqa: E402
from candidates.preprocessing import Preprocessing  # noqa: E402
from nas.data import open_source  # noqa: E402
from nas.data.source import TRAIN  # noqa: E402
from nas.trainer import opening, session  # noqa: E402
from nas.trainer import recipe as recipes  # noqa: E402
from nas.trainer.data import choose  # noqa: E402
from nas.trainer.devices import make_fabric  # noqa: E402
from nas.trainer.loading import Decoded, Loaded  # noqa: E402
from nas.trainer.lookout import Lookout  # noqa: E402
from nas.trainer.loop import Training, run_epoch  # noqa: E402
from nas.trainer.monitor import Monitor  # noqa: E402
from nas.trainer.optimizers import make_optimizer  # noqa: E402
from nas.trainer.recipe import Recipe  # noqa: E402


def main(
    decoding: bool = False,
    network: str = "mnasnet-a1",
    resolution: int = 32,
    recipe: str = "sgd-cosine",
    settings: Annotated[list[str] | None, typer.Option("--set")] = None,
    batch: int = 64,
    updates: int = 10,
    pairs: int = 5,
    workers: int = 2,
) -> None:
    """Compare the loop with bare steps, or (--decoding) time the decoding of photographs."""
    if decoding:
        _decoding(resolution if resolution > 32 else 224, batch)
        return
    chosen = recipes.overridden(recipes.load(recipe), [f"batch={batch}", *(settings or [])])
    with tempfile.TemporaryDirectory() as folder:
        training = _training(Path(folder) / "t", network, resolution, chosen, updates, workers)
        print(
            f"{network} at {resolution}×{resolution}, {recipe} {' '.join(settings or [])}, batch {batch}, {updates} "
            f"updates a time, on {training.fabric.device}, {torch.get_num_threads()} threads"
        )
        _compare(training, updates, pairs)


def _training(
    path: Path, network: str, resolution: int, recipe: Recipe, updates: int, workers: int
) -> Training:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", updates * recipe.batch), ("val", 20)):
        arrays[f"x_{split}"] = rng.integers(0, 256, (count, resolution, resolution, 3), np.uint8)
        arrays[f"y_{split}"] = np.arange(count) % 10
    file = path.parent / "noise.npz"
    np.savez(file, **arrays)
    data = choose(open_source(str(file)))
    arch = opening.fitted(zoo.load(network), data.source, resolution)
    folder = session.new_training(network, arch, str(file), data, recipe, 0, path)
    fabric = make_fabric("auto", recipe.precision)
    return session.prepare(fabric, folder, data, session.Options(workers=workers), Monitor(None))


def _compare(training: Training, updates: int, pairs: int) -> None:
    def ours() -> float:
        here = training.position
        here.updates, here.losses = 0, []
        begun = time.perf_counter()
        assert run_epoch(training, Lookout(training.fabric, lambda: False, math.inf))
        here.epoch += 1
        return updates * training.recipe.batch / (time.perf_counter() - begun)

    bare = _Bare(training, updates)
    ours(), bare()  # the first steps of a process are slow
    ratios = []
    print("pair   ours images/s   bare images/s   ratio")
    for pair in range(pairs):
        order = (ours, bare) if pair % 2 == 0 else (bare, ours)
        speed = {run: run() for run in order}
        ratios.append(speed[ours] / speed[bare])
        print(f"{pair + 1:4d}   {speed[ours]:13.0f}   {speed[bare]:13.0f}   {ratios[-1]:5.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} (at least 0.9 wanted)")


class _Bare:
    """The same network, optimiser and precision on one synthetic batch that is there already."""

    def __init__(self, training: Training, updates: int) -> None:
        self._fabric, self._updates, recipe = training.fabric, updates, training.recipe
        device, arch = training.fabric.device, training.folder.architecture
        network = build(arch, dropout=recipe.dropout).to(device, memory_format=torch.channels_last)
        self._network, self._optimizer = self._fabric.setup(network, make_optimizer(network, recipe))
        inputs = torch.randn(recipe.batch, 3, arch.resolution, arch.resolution, device=device)
        self._inputs = inputs.contiguous(memory_format=torch.channels_last)
        self._labels = torch.arange(recipe.batch, device=device) % 10

    def __call__(self) -> float:
        self._network.train()
        begun = time.perf_counter()
        for _ in range(self._updates):
            loss = F.cross_entropy(self._network(self._inputs), self._labels)
            self._fabric.backward(loss)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        if self._fabric.device.type == "cuda":
            torch.cuda.synchronize()
        return self._updates * len(self._labels) / (time.perf_counter() - begun)


def _decoding(size: int, batch: int, count: int = 512) -> None:
    """Photographs of 500×375 as ImageNet's usually are, random parts of them resized to `size`."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(64):
            noise = Image.fromarray(rng.integers(0, 256, (375, 500, 3), np.uint8))
            path = Path(folder) / "train" / f"class{number % 2}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise.filter(ImageFilter.GaussianBlur(2)).save(path, quality=90)
        source = open_source(folder)
        indices = np.arange(count) % 64
        size_of = sum(p.stat().st_size for p in Path(folder).rglob("*.jpg")) / 64 / 1000
        print(
            f"photographs of 500×375 ({size_of:.0f} KB) to random parts at {size}×{size}, {os.cpu_count()} cores"
        )
        print("workers   images/s")
        recipe = Recipe(crop="resized")
        pre = Preprocessing(size, size, (0.5,) * 3, (0.25,) * 3)
        workers = [0, *(n for n in (1, 2, 4, 8, 16, 32) if n <= 2 * (os.cpu_count() or 1))]
        for number in workers:
            loader = Loaded(Decoded(source, TRAIN, indices, pre, recipe, 0), number, torch.device("cpu"))
            plan = np.array_split(np.arange(count), count // batch)
            for epoch in range(2):  # the first one starts the workers
                begun = time.perf_counter()
                for _ in loader.epoch(epoch, plan):
                    pass
                speed = count / (time.perf_counter() - begun)
            print(f"{number:7d}   {speed:8.0f}", flush=True)


if __name__ == "__main__":
    typer.run(main)
