"""The proxy training: its speed against a bare PyTorch loop, and whether its ranking means anything.

python -m benchmarks.proxy                 images/s against a bare loop, in alternating pairs
python -m benchmarks.proxy --spread        accuracies of random architectures under two seeds, Kendall's tau
"""

from __future__ import annotations

import statistics
import time

import typer

from nas import cpu

cpu.prepare()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from candidates import Architecture, build, zoo  # noqa: E402
from nas.data import load_data  # noqa: E402
from nas.proxy import Proxy  # noqa: E402
from nas.recipe import Recipe  # noqa: E402
from nas.training import DeviceData, train  # noqa: E402
from search_space import load_space  # noqa: E402


def main(
    spread: bool = False,
    data: str = "digits",
    samples: int = 4000,
    space: str = "mnasnet",
    architectures: int = 20,
    epochs: int = Recipe.epochs,
    batch: int = Recipe.batch,
    peak_lr: float = Recipe.peak_lr,
    pairs: int = 7,
) -> None:
    """Compare the training loop's speed with a bare one, or (--spread) rank architectures under two seeds."""
    loaded = load_data(data, samples=samples)
    recipe = Recipe(epochs=epochs, batch=batch, peak_lr=peak_lr)
    proxy = Proxy.prepare(loaded, recipe)
    device = proxy.placed.train[0].device
    print(
        f"{loaded.name}: {len(loaded.train)} to train, {len(loaded.validation)} to validate, "
        f"{loaded.size}×{loaded.size}"
    )
    print(f"on {device}, {torch.get_num_threads()} threads, {recipe}")
    if spread:
        _spread(proxy, space, architectures)
    else:
        _speed(proxy, pairs)


def _spread(proxy: Proxy, space_name: str, count: int) -> None:
    from scipy.stats import kendalltau

    space, rng = load_space(space_name), np.random.default_rng(0)
    rows = []
    print("architecture    M multiply-adds   accuracy, two seeds    loss, two seeds    seconds")
    for _ in range(count):
        arch = space.decode(space.sample(rng))
        first, second = (proxy.train(arch, seed) for seed in (0, 1))
        rows.append(
            (first.accuracy, second.accuracy, first.loss, second.loss, first.seconds + second.seconds)
        )
        cost = proxy.architecture(arch).multiply_adds() / 1e6
        a, b, c, d, seconds = rows[-1]
        print(
            f"{arch.id}  {cost:16.1f}   {a:.4f}  {b:.4f}        {c:6.3f} {d:6.3f}   {seconds / 2:8.1f}",
            flush=True,
        )
    table = np.array(rows)
    between = table[:, :2].mean(1).std(ddof=1)
    within = np.sqrt(((table[:, 0] - table[:, 1]) ** 2 / 2).mean())
    print(f"standard deviation between architectures {between:.4f}, between seeds {within:.4f}")
    taus = {
        "accuracy": kendalltau(table[:, 0], table[:, 1]).statistic,
        "loss": kendalltau(table[:, 2], table[:, 3]).statistic,
        "loss to accuracy": kendalltau(-table[:, 2], table[:, 1]).statistic,
    }
    listed = ", ".join(f"{name} {tau:.3f}" for name, tau in taus.items())
    print(f"Kendall's tau between seeds: {listed} (n = {count})")
    seconds = table[:, 4] / 2
    print(f"seconds for a training: median {np.median(seconds):.1f}, largest {seconds.max():.1f}")


def _bare_loop(proxy: Proxy, data: DeviceData, arch: Architecture) -> float:
    """The least that trains: the same network, batches and optimiser, no augmentation, no schedule."""
    network = build(arch, seed=0, dropout=0.0)
    images, labels = data.train
    network.to(images.device, memory_format=torch.channels_last)
    network.train()
    recipe = proxy.recipe
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    ready = data.normalised(images)
    batch = min(recipe.batch, len(labels))
    start = time.perf_counter()
    for _ in range(recipe.epochs):
        for at in range(0, len(labels) - batch + 1, batch):
            with torch.autocast(images.device.type, torch.bfloat16, enabled=images.device.type == "cuda"):
                loss = F.cross_entropy(network(ready[at : at + batch]), labels[at : at + batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    if images.device.type == "cuda":
        torch.cuda.synchronize()
    return recipe.epochs * (len(labels) // batch) * batch / (time.perf_counter() - start)


def _speed(proxy: Proxy, pairs: int) -> None:
    arch = proxy.architecture(zoo.load("mnasnet-a1"))

    def ours() -> float:
        return train(build(arch, seed=0, dropout=0.0), proxy.placed, proxy.recipe, 0).images_per_second

    def bare() -> float:
        return _bare_loop(proxy, proxy.placed, arch)

    ours(), bare()  # the first steps of a process are slow
    ratios = []
    print("pair   ours images/s   bare images/s   ratio")
    for pair in range(pairs):
        order = (ours, bare) if pair % 2 == 0 else (bare, ours)
        speed = {run: run() for run in order}
        ratios.append(speed[ours] / speed[bare])
        print(f"{pair + 1:4d}   {speed[ours]:13.0f}   {speed[bare]:13.0f}   {ratios[-1]:5.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} (at least 0.95 wanted)")


if __name__ == "__main__":
    typer.run(main)
