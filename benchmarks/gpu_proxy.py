"""The proxy on a GPU: candidates per hour, ours against a plain PyTorch loop in the same run.

    python -m benchmarks.gpu_proxy CIFAR                                 20 random architectures, 5 epochs
    python -m benchmarks.gpu_proxy CIFAR --architectures 5 --first 5     some of them, to run it in parts
    python -m benchmarks.gpu_proxy CIFAR --architectures 2 --images 500 --epochs 1     a trial, on a CPU too

The plain loop: float32, channels first, a DataLoader with workers that crop and mirror, one candidate after the
other; the same networks, recipe, splits and evaluation. Ours: nas.proxy, `--per-gpu` candidates at once, each in a
process of its own. Processes are started and have trained a little before the clock runs. With `--json FILE` the
table is kept too, and `--merge FILE FILE ...` sums up what was run in parts.

It needs torch and numpy, and Pillow only for data sets of photographs.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from nas import cpu

cpu.prepare()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

from candidates import Architecture, build  # noqa: E402
from nas.data import DataSet, load_data  # noqa: E402
from nas.proxy import Proxy  # noqa: E402
from nas.recipe import Recipe  # noqa: E402
from nas.training import one_cycle, set_rate, zero_classifier  # noqa: E402
from nas.workers.inline import Inline  # noqa: E402
from nas.workers.seats import Seat, Seats  # noqa: E402
from search_space import load_space  # noqa: E402

STATISTICS = 1024  # training images that batch normalisation's statistics are estimated on, as ours does


@dataclass(frozen=True)
class Plan:
    """What both train: the data, how many of its images, and the recipe."""

    data: str
    images: int | None
    recipe: Recipe


@dataclass(frozen=True)
class Line:
    """One architecture's accuracies (0 to 1) and seconds in both loops."""

    id: str
    ours: float
    plain: float
    ours_seconds: float
    plain_seconds: float


@dataclass(frozen=True)
class Table:
    """All of a run, and the wall's seconds that each loop took for all its architectures."""

    device: str
    per_gpu: int
    plan: Plan
    lines: tuple[Line, ...]
    ours_wall: float
    plain_wall: float


def main(
    data: Annotated[list[str], typer.Argument(help="A data set, or with --merge the files to sum up.")],
    architectures: int = 20,
    first: int = 0,
    images: int | None = None,
    epochs: int = Recipe.epochs,
    batch: int = Recipe.batch,
    space: str = "mnasnet",
    per_gpu: Annotated[int | None, typer.Option(help="Of ours at once [4 on a GPU, else 1].")] = None,
    loaders: Annotated[int, typer.Option(help="The plain loop's loading processes.")] = min(
        4, os.cpu_count() or 1
    ),
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    merge: bool = False,
) -> None:
    """Train the same architectures in both loops and print what each took."""
    if merge:
        _say(_merged([json.loads(Path(file).read_text(encoding="utf-8")) for file in data]))
        return
    plan = Plan(data[0], images, Recipe(epochs=epochs, batch=batch))
    drawn, rng = load_space(space), np.random.default_rng(0)
    points = [drawn.sample(rng) for _ in range(first + architectures)]
    archs = [drawn.decode(point) for point in points[first:]]
    at_once = per_gpu or (4 if torch.cuda.is_available() else 1)
    ours, ours_wall = _ours(plan, archs, at_once)
    plain, plain_wall = _plain(plan, archs, loaders)
    lines = tuple(
        Line(arch.id, ours[n][0], plain[n][0], ours[n][1], plain[n][1]) for n, arch in enumerate(archs)
    )
    table = Table(device_name(), at_once, plan, lines, ours_wall, plain_wall)
    _say(table)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(table), indent=1) + "\n", encoding="utf-8")


def device_name() -> str:
    """The GPU's name, or the processor's kind."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"


def _say(table: Table) -> None:
    count, recipe = len(table.lines), table.plan.recipe
    print(
        f"{table.device}; {table.plan.data}, {table.plan.images or 'all'} images, {recipe.epochs} epochs, "
        f"batch {recipe.batch}, torch {torch.__version__}"
    )
    print("architecture    ours    plain   seconds ours (of several at once)   plain")
    for line in table.lines:
        print(
            f"{line.id}  {line.ours:7.2%} {line.plain:7.2%}   {line.ours_seconds:33.1f}   {line.plain_seconds:5.1f}"
        )
    ours, plain = (3600 * count / wall for wall in (table.ours_wall, table.plain_wall))
    gaps = 100 * np.array([line.ours - line.plain for line in table.lines])
    error = f" ± {gaps.std(ddof=1) / np.sqrt(count):.2f}" if count > 1 else ""
    print(f"candidates per hour: ours {ours:.0f} ({table.per_gpu} at once), plain {plain:.0f}")
    print(f"ratio {ours / plain:.2f} (on a GPU at least 4 wanted)")
    print(
        f"accuracy, ours less plain: {gaps.mean():+.2f}{error} points on average over {count} "
        "(within 0.5 wanted over 20)"
    )


def _merged(parts: list[dict[str, Any]]) -> Table:
    """The tables of one machine and one plan as one."""
    same = {json.dumps([part["device"], part["per_gpu"], part["plan"]], sort_keys=True) for part in parts}
    if len(same) != 1:
        raise SystemExit(f"the files are of {len(same)} different machines or plans; expected one")
    plan = parts[0]["plan"]
    return Table(
        parts[0]["device"],
        parts[0]["per_gpu"],
        Plan(plan["data"], plan["images"], Recipe(**plan["recipe"])),
        tuple(Line(**line) for part in parts for line in part["lines"]),
        sum(part["ours_wall"] for part in parts),
        sum(part["plain_wall"] for part in parts),
    )


# ---- ours


@dataclass(frozen=True)
class Ours:
    """Trains by the proxy, wherever this is sent; answers the accuracy and the seconds."""

    plan: Plan

    def __call__(self, arch: Architecture, seed: int) -> tuple[float, float]:
        start = time.perf_counter()
        accuracy = _proxy(self.plan).train(arch, seed).accuracy
        return accuracy, time.perf_counter() - start


@cache
def _proxy(plan: Plan) -> Proxy:
    return Proxy.prepare(load_data(plan.data, samples=plan.images), plan.recipe)


def _ours(plan: Plan, archs: list[Architecture], at_once: int) -> tuple[list[tuple[float, float]], float]:
    team = Inline() if at_once == 1 else Seats([Seat(1)] * at_once)
    try:
        ready: list[Future[None]] = [team.submit(_warm, plan, archs[0]) for _ in range(at_once)]
        for future in ready:
            future.result()
        start = time.perf_counter()
        futures = [team.submit(Ours(plan), arch, 0) for arch in archs]
        found = [future.result() for future in futures]
        return found, time.perf_counter() - start
    finally:
        team.shutdown()


def _warm(plan: Plan, arch: Architecture) -> None:
    """Load the data and train for an epoch, so that what happens once is over."""
    _proxy(plan).train(arch, 0, lambda accuracy: True)
    time.sleep(1.0)  # so that another worker takes the next one


# ---- the plain loop


class Photos(Dataset[tuple[Tensor, int]]):
    """Training images as float32, normalised, shifted and mirrored at random, one at a time."""

    def __init__(self, data: DataSet, padding: int, flip: bool, mean: Tensor, std: Tensor) -> None:
        self._pixels, self._labels = torch.from_numpy(data.train.pixels), data.train.labels
        self._padding, self._flip, self._mean, self._std = padding, flip, mean, std

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._pixels[index].float() / 255
        size = image.shape[-1]
        top, left = torch.randint(0, 2 * self._padding + 1, (2,)).tolist()
        image = F.pad(image, (self._padding,) * 4)[:, top : top + size, left : left + size]
        if self._flip and torch.rand(()) < 0.5:
            image = image.flip(2)
        return (image - self._mean) / self._std, int(self._labels[index])


def _plain(plan: Plan, archs: list[Architecture], loaders: int) -> tuple[list[tuple[float, float]], float]:
    proxy = _proxy(plan)
    data, recipe = proxy.data, plan.recipe
    mean, std = (part.cpu()[0] for part in (proxy.placed.mean, proxy.placed.std))
    padding, flip = round(recipe.crop_padding * data.size), data.channels == 3
    loader = DataLoader(
        Photos(data, padding, flip, mean, std),
        batch_size=min(recipe.batch, len(data.train)),
        shuffle=True,
        drop_last=True,
        num_workers=loaders,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=loaders > 0,
    )
    for _ in loader:  # its processes start
        break
    _plain_training(proxy, archs[0], loader, mean, std, epochs=1)  # what happens once is over
    start, found = time.perf_counter(), []
    for arch in archs:
        begun = time.perf_counter()
        accuracy = _plain_training(proxy, arch, loader, mean, std, recipe.epochs)
        found.append((accuracy, time.perf_counter() - begun))
    return found, time.perf_counter() - start


def _plain_training(
    proxy: Proxy, arch: Architecture, loader: DataLoader[Any], mean: Tensor, std: Tensor, epochs: int
) -> float:
    """Train as PyTorch's tutorials do; the validation accuracy."""
    recipe, device = proxy.recipe, proxy.placed.train[0].device
    torch.manual_seed(0)
    network = build(proxy.architecture(arch), seed=0, dropout=recipe.dropout).to(device)
    zero_classifier(network)
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    peak = recipe.peak_lr * recipe.batch / 64
    optimizer = torch.optim.SGD(groups, lr=peak, momentum=recipe.momentum, nesterov=True)
    steps, done = epochs * len(loader), 0
    network.train()
    for _ in range(epochs):
        for images, labels in loader:
            set_rate(optimizer, peak * one_cycle(done / steps, recipe.warmup))
            logits = network(images.to(device, non_blocking=True))
            expected = labels.to(device, non_blocking=True)
            loss = F.cross_entropy(logits, expected, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
    return _evaluated(network, proxy.data, mean, std, device)


@torch.no_grad()
def _evaluated(network: nn.Module, data: DataSet, mean: Tensor, std: Tensor, device: torch.device) -> float:
    """Top-1 accuracy with batch normalisation's statistics estimated anew, as ours does, in float32."""

    def batches(pixels: Any, size: int) -> Iterator[Tensor]:
        for part in torch.from_numpy(pixels).split(size):
            yield ((part.float() / 255 - mean) / std).to(device)

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:STATISTICS].numpy()
    for images in batches(data.train.pixels[chosen], 128):
        network(images)
    network.eval()
    answers = torch.cat([network(images).argmax(1).cpu() for images in batches(data.validation.pixels, 256)])
    return float((answers == torch.from_numpy(data.validation.labels)).double().mean())


if __name__ == "__main__":
    typer.run(main)
