"""The proxy training: its speed against a bare PyTorch loop, and whether its ranking means anything.

python -m benchmarks.proxy                 images/s against a bare loop, in alternating pairs
python -m benchmarks.proxy --spread        accuracies of random architectures under two seeds, Kendall's tau
"""

from __future__ import annotations

import statistics
import time

import click

from nas import cpu

cpu.prepare()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from candidates import build, zoo  # noqa: E402
from nas.data import load_data  # noqa: E402
from nas.proxy import Proxy  # noqa: E402
from nas.recipe import Recipe  # noqa: E402
from nas.training import DeviceData, train  # noqa: E402
from search_space import load_space  # noqa: E402


@click.command(help=__doc__)
@click.option("--spread", is_flag=True, help="Rank random architectures under two seeds.")
@click.option("--data", default="digits", show_default=True)
@click.option("--samples", type=int, default=4000, show_default=True)
@click.option("--space", default="mnasnet", show_default=True)
@click.option("--architectures", type=int, default=20, show_default=True)
@click.option("--epochs", type=int, default=Recipe.epochs, show_default=True)
@click.option("--batch", type=int, default=Recipe.batch, show_default=True)
@click.option("--peak-lr", type=float, default=Recipe.peak_lr, show_default=True)
@click.option("--pairs", type=int, default=7, show_default=True, help="Alternating pairs for the speed.")
def main(
    spread: bool,
    data: str,
    samples: int,
    space: str,
    architectures: int,
    epochs: int,
    batch: int,
    peak_lr: float,
    pairs: int,
) -> None:
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


def _bare_loop(proxy: Proxy, data: DeviceData, arch_seed: int) -> float:
    """The least that trains: the same network, batches and optimiser, no augmentation, no schedule."""
    arch = proxy.architecture(zoo.load("mnasnet-a1"))
    network = build(arch, seed=arch_seed, dropout=0.0)
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

    ours(), _bare_loop(proxy, proxy.placed, 0)  # the first steps of a process are slow
    rows = []
    print("pair   ours images/s   bare images/s   ratio")
    for pair in range(pairs):
        a, b = (ours(), _bare_loop(proxy, proxy.placed, 0)) if pair % 2 == 0 else (0.0, 0.0)
        if pair % 2:
            b = _bare_loop(proxy, proxy.placed, 0)
            a = ours()
        rows.append((a, b, a / b))
        print(f"{pair + 1:4d}   {a:13.0f}   {b:13.0f}   {a / b:5.3f}", flush=True)
    print(f"median ratio {statistics.median(row[2] for row in rows):.3f} (at least 0.95 wanted)")


if __name__ == "__main__":
    main()
