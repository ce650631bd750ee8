"""How well short trainings rank architectures: Kendall's tau between each proxy and a longer training.

    python -m benchmarks.proxy_rank DIR results.jsonl

Trains the same random architectures (spread over the space's multiply-adds) at length and by every proxy,
under different seeds, and prints the rank correlation by epochs, resolution, width and images, with a
bootstrap interval over architectures, and what a training costs. Each training is kept in the file as it
ends, and a second call goes on from there; `--only-table` trains nothing and prints what is complete.
Networks this small leave threads little to share: `--jobs 2`, two at a time of one thread each, does nearly
twice as many in an hour on two cores as one after another on both.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import typer

from nas import cpu

cpu.prepare()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from scipy.stats import kendalltau  # noqa: E402

from candidates import Architecture  # noqa: E402
from nas.data import load_data  # noqa: E402
from nas.proxy import Proxy  # noqa: E402
from nas.recipe import Recipe  # noqa: E402
from search_space import load_space  # noqa: E402

DEFAULT = 2  # of the proxies, the search's own


@dataclass(frozen=True)
class Setting:
    """One kind of training: epochs, input size in pixels, width multiplier, training images, seed."""

    epochs: int
    resolution: int
    width: float
    samples: int
    seed: int = 0

    @property
    def key(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def main(
    data: str,
    keep: Path,
    architectures: int = 12,
    space: str = "mnasnet",
    samples: int = 4000,
    reference_epochs: int = 20,
    reference_samples: int = 8000,
    jobs: int = 1,
    only_table: bool = False,
) -> None:
    """Rank random architectures by short trainings and by a long one."""
    default = Recipe.epochs
    reference = Setting(reference_epochs, 32, 1.0, reference_samples, seed=1)
    proxies = [
        *(Setting(epochs, 32, 1.0, samples) for epochs in (1, 2, default)),
        Setting(default, 16, 1.0, samples),
        Setting(default, 32, 0.5, samples),
        Setting(default, 24, 1.0, samples),
        Setting(default, 32, 1.0, samples // 2),
        Setting(2 * default, 32, 1.0, samples),
    ]
    chosen = spread(space, architectures)
    found = _results(keep)
    todo = [
        (setting, arch)
        for setting in (reference, *proxies)
        for arch in chosen
        if (setting.key, arch.id) not in found
    ]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    print(f"{architectures} architectures of {space}; {jobs} at a time of {threads} threads each")
    if only_table:
        missing = {setting for setting, _ in todo}
        if reference in missing:
            raise SystemExit(f"longer trainings are missing in {keep}; run without --only-table")
        proxies = [one for one in proxies if one not in missing]
    else:
        _train_all(data, todo, keep, jobs, threads)
    _table(_results(keep), chosen, reference, proxies)


def _train_all(
    data: str, todo: list[tuple[Setting, Architecture]], keep: Path, jobs: int, threads: int
) -> None:
    """Train what is to do and add a row for each to the file `keep`."""
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        futures = [pool.submit(_train, data, setting, arch) for setting, arch in todo]
        for future in as_completed(futures):
            row = future.result()
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print("{setting}: {id} {accuracy:.4f} in {seconds:.0f} s".format_map(row), flush=True)


def _train(data: str, setting: Setting, arch: Architecture) -> dict[str, Any]:
    outcome = _proxy(data, setting).train(arch.scaled(width=setting.width), setting.seed)
    return {"setting": setting.key, "id": arch.id, **asdict(outcome)}


@lru_cache(maxsize=1)  # trainings of one setting follow each other
def _proxy(data: str, setting: Setting) -> Proxy:
    return Proxy.prepare(load_data(data, setting.resolution, setting.samples), Recipe(epochs=setting.epochs))


def spread(space_name: str, count: int) -> list[Architecture]:
    """`count` of 8·`count` random architectures, evenly over their order of multiply-adds."""
    space, rng = load_space(space_name), np.random.default_rng(0)
    drawn = sorted(
        (space.decode(space.sample(rng)) for _ in range(8 * count)), key=lambda arch: arch.multiply_adds()
    )
    return drawn[4::8]


def _results(keep: Path) -> dict[tuple[str, str], dict[str, float]]:
    if not keep.exists():
        return {}
    rows = [json.loads(line) for line in keep.read_text(encoding="utf-8").splitlines()]
    return {(row["setting"], row["id"]): row for row in rows}


def _table(
    found: dict[tuple[str, str], dict[str, float]],
    chosen: list[Architecture],
    reference: Setting,
    proxies: list[Setting],
) -> None:
    def values(setting: Setting, name: str) -> np.ndarray:
        return np.array([found[setting.key, arch.id][name] for arch in chosen])

    truth = values(reference, "accuracy")
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(chosen), len(chosen)) for _ in range(2000)]

    def taus(setting: Setting) -> np.ndarray:
        accuracy = values(setting, "accuracy")
        return np.array([kendalltau(accuracy[draw], truth[draw]).statistic for draw in draws])

    usual = taus(proxies[DEFAULT]) if len(proxies) > DEFAULT else None
    print(
        "epochs   pixels   width   images   seconds   accuracy   tau (accuracy), 90 %      tau (loss)   "
        "less than the default's, 90 %"
    )
    for setting in (*proxies, reference):
        accuracy, loss = values(setting, "accuracy"), values(setting, "loss")
        row = (
            f"{setting.epochs:6d}   {setting.resolution:6d}   {setting.width:5g}   {setting.samples:6d}   "
            f"{np.median(values(setting, 'seconds')):7.1f}   {accuracy.mean():8.4f}"
        )
        if setting != reference:
            tau, drawn = kendalltau(accuracy, truth).statistic, taus(setting)
            low, high = np.nanquantile(drawn, (0.05, 0.95))
            row += f"   {tau:5.3f} ({low:.3f} to {high:.3f})    {kendalltau(-loss, truth).statistic:5.3f}"
            if (
                usual is not None and setting != proxies[DEFAULT]
            ):  # on the same draws: what both share cancels
                low, high = np.nanquantile(usual - drawn, (0.05, 0.95))
                row += f"        {low:6.3f} to {high:.3f}"
        print(row if setting != reference else row + "   the longer training, another seed")


if __name__ == "__main__":
    typer.run(main)
