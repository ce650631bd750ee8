"""Samplers compared: regret of what each recommends after a number of evaluations.

    python -m benchmarks.search --data nas-bench-macro_cifar10.json --seeds 24

An evaluation is one training with one training seed (the run's seed modulo 3); a point whose network was
evaluated already is answered from what is known and is not counted. Regret is in points of true mean
accuracy (`accuracy`; `hard`: within the target), of soft reward (`soft`), or in per cent of the area that the
true front covers (`front`). Intervals are 95 % by bootstrap over the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.problems import Array, Macro, Problem, hard_weight, macro_architecture, soft_weight
from nas import samplers
from nas.samplers.encoding import Prior
from nas.samplers.priors import BATCH, from_scores, from_study, gradient_norm, synflow
from nas.samplers.recommend import estimated_accuracies
from search_space import Point

EVALUATIONS = (25, 50, 100)
OBJECTIVES = ("accuracy", "soft", "hard", "front")
MOST_DUPLICATES = 1000  # after which a sampler that only repeats itself is stopped


@dataclass(frozen=True)
class Result:
    """One run: regret by number of evaluations, median seconds per suggestion, duplicates proposed."""

    space: str
    sampler: str
    objective: str
    seed: int
    regret: dict[int, float]
    suggestion_s: float
    duplicates: int


def problem_of(space: str, data: str | None) -> Problem:
    from benchmarks.synthetic import Synthetic

    if space == "macro":
        if data is None:
            raise SystemExit("the space macro needs --data FILE, NAS-Bench-Macro's JSON")
        return Macro(data)
    return Synthetic(space)


def weights_of(objective: str, costs: Array, target: float) -> Array:
    if objective == "soft":
        return soft_weight(costs, target)
    if objective == "hard":
        return hard_weight(costs, target)
    return np.ones_like(costs)


@dataclass(frozen=True)
class Job:
    """One run to make.

    With `earlier` the surrogate starts from a finished run of so many evaluations, with `scores` from a
    score of SCORES at initialisation, on `images` where it needs some.
    """

    space: str
    data: str | None
    sampler: str
    objective: str
    seed: int
    earlier: int = 0
    scores: str | None = None
    images: str | None = None

    @property
    def name(self) -> str:
        """The sampler and what it starts from."""
        earlier = f"+{self.earlier}" if self.earlier else ""
        return self.sampler + earlier + (f"+{self.scores}" if self.scores else "")


SCORES = ("synflow", "gradient-norm", "both")


def run(job: Job) -> Result:
    """One search of max(EVALUATIONS) evaluations."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    problem = problem_of(job.space, job.data)
    regret: dict[int, float] = {}
    prior = None
    if job.earlier:
        # Another training seed: what is carried over is the space's, not this run's noise.
        before = _sampler(problem, "surrogate", job.objective, job.seed + 1000)
        study, _, _ = _search(problem, before, job.objective, job.seed + 1, job.earlier)
        prior = from_study(study, problem.view)
    elif job.scores:
        prior = from_scores(problem.view, *_scores(problem, job), seed=job.seed)
    sampler = _sampler(problem, job.sampler, job.objective, job.seed, prior)

    def note(study: optuna.Study, count: int) -> None:
        if count in EVALUATIONS:
            regret[count] = 100 * regret_of(problem, job.objective, study, sampler)

    _, seconds, duplicates = _search(problem, sampler, job.objective, job.seed, max(EVALUATIONS), note)
    return Result(job.space, job.name, job.objective, job.seed, regret, seconds, duplicates)


def _scores(problem: Problem, job: Job) -> list[Callable[[Point], float]]:
    """Scores at initialisation of the network at a point of NAS-Bench-Macro."""
    if not isinstance(problem, Macro):
        raise SystemExit("--scores needs networks, which only the space macro has")
    if job.scores != "synflow" and job.images is None:
        raise SystemExit(f"--scores {job.scores} needs --images DIR, CIFAR-10's images")

    def flow(point: Point) -> float:
        return _flow(problem.view.identity(point), job.seed)

    def slope(point: Point) -> float:
        return _slope(problem.view.identity(point), job.seed, str(job.images))

    return {"synflow": [flow], "gradient-norm": [slope], "both": [flow, slope]}[str(job.scores)]


@cache  # one run's points are those of the other objectives with its seed
def _flow(identity: str, seed: int) -> float:
    return synflow(macro_architecture(identity), seed)


@cache
def _slope(identity: str, seed: int, images: str) -> float:
    return gradient_norm(macro_architecture(identity), *_batch(images, seed), seed)


@cache
def _batch(images: str, seed: int) -> tuple[Any, Any]:
    """Normalised images and their labels."""
    import torch

    from nas.data import load_data

    data = load_data(images, 32, 1000)
    chosen = np.random.default_rng(seed).choice(len(data.train), BATCH, replace=False)
    pixels = torch.from_numpy(data.train.pixels[chosen]).float() / 127.5 - 1.0
    return pixels, torch.from_numpy(data.train.labels[chosen])


def _sampler(
    problem: Problem, name: str, objective: str, seed: int, prior: Prior | None = None
) -> optuna.samplers.BaseSampler:
    return samplers.make(
        name,
        problem.view,
        seed=seed,
        latency=problem.costs,
        weight=lambda costs: weights_of(objective, costs, problem.target),
        prior=prior,
    )


def _search(
    problem: Problem,
    sampler: optuna.samplers.BaseSampler,
    objective: str,
    seed: int,
    evaluations: int,
    note: Callable[[optuna.Study, int], None] = lambda study, count: None,
) -> tuple[optuna.Study, float, int]:
    """The study, median seconds per suggestion, duplicates; `note` is called after each evaluation."""
    directions = ["maximize", "minimize"] if objective == "front" else ["maximize"]
    study = optuna.create_study(directions=directions, sampler=sampler)
    known: dict[Any, int] = {}
    seconds: list[float] = []
    duplicates = 0
    while len(known) < evaluations and duplicates < MOST_DUPLICATES:
        began = time.perf_counter()
        trial = study.ask()
        point = {c.name: trial.suggest_categorical(c.name, c.values) for c in problem.view.choices}
        seconds.append(time.perf_counter() - began)
        identity = problem.view.identity(point)
        accuracy, cost = problem.observed(point, seed), float(problem.costs([point])[0])
        weight = float(weights_of(objective, np.array([cost]), problem.target)[0])
        trial.set_user_attr("accuracy", accuracy)
        trial.set_user_attr("latency_ms", cost)
        if identity in known:
            duplicates += 1
            trial.set_user_attr("duplicate_of", known[identity])
        study.tell(trial, (accuracy, cost) if objective == "front" else accuracy * weight)
        if identity not in known:
            known[identity] = trial.number
            note(study, len(known))
    return study, float(np.median(seconds)), duplicates


def regret_of(
    problem: Problem, objective: str, study: optuna.Study, sampler: optuna.samplers.BaseSampler
) -> float:
    """How far what would be recommended now is, in truth, from the best of the space."""
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    estimates = estimated_accuracies(study, sampler)
    points = [trials[number].params for number in estimates]
    believed, costs = np.array(list(estimates.values())), problem.costs(points)
    true = np.array([problem.accuracy(point) for point in points])
    if objective == "front":
        front = [i for i in range(len(points)) if not ((believed > believed[i]) & (costs <= costs[i])).any()]
        return problem.best("front") - problem.area(np.stack([true, costs], axis=1)[front])
    weights = weights_of(objective, costs, problem.target)
    if objective == "hard" and (costs <= problem.target).any():
        believed = np.where(costs <= problem.target, believed, 0.0)
    chosen = int(np.argmax(believed * weights))
    return problem.best(objective) - float(true[chosen] * weights[chosen])


def summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row for each sampler, objective and number of evaluations."""
    rows = []
    for key in dict.fromkeys((r.space, r.sampler, r.objective) for r in results):
        runs = [r for r in results if (r.space, r.sampler, r.objective) == key]
        for count in EVALUATIONS:
            values = np.array([r.regret[count] for r in runs if count in r.regret])
            if not len(values):
                continue
            draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
            low, high = np.quantile(draws, [0.025, 0.975])
            rows.append(
                dict(zip(("space", "sampler", "objective"), key, strict=True))
                | {
                    "evaluations": count,
                    "mean_regret": float(values.mean()),
                    "median_regret": float(np.median(values)),
                    "mean_interval": [float(low), float(high)],
                    "runs": len(values),
                    "suggestion_s": float(np.median([r.suggestion_s for r in runs])),
                    "duplicates": sum(r.duplicates for r in runs),
                }
            )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text: mean [interval] median at each number of evaluations."""
    lines = []
    for space, objective in dict.fromkeys((row["space"], row["objective"]) for row in rows):
        mine = [row for row in rows if (row["space"], row["objective"]) == (space, objective)]
        lines.append(f"\n{space}, {objective}: mean regret [95 %] median, {mine[0]['runs']} runs")
        heads = "".join(f"{'after ' + str(count):>27}" for count in EVALUATIONS)
        lines.append(f"{'':10}{heads}{'s/suggestion':>14}{'duplicates':>12}")
        for sampler in dict.fromkeys(row["sampler"] for row in mine):
            cells = [row for row in mine if row["sampler"] == sampler]
            text = "".join(
                f"{c['mean_regret']:9.3f} [{c['mean_interval'][0]:.2f}, {c['mean_interval'][1]:.2f}]"
                f"{c['median_regret']:6.2f}".rjust(27)
                for c in cells
            )
            lines.append(f"{sampler:10}{text}{cells[0]['suggestion_s']:14.3f}{cells[0]['duplicates']:12d}")
    return "\n".join(lines)


def read(row: dict[str, Any]) -> Result:
    """A Result from its JSON."""
    return Result(**{**row, "regret": {int(count): value for count, value in row["regret"].items()}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", help="NAS-Bench-Macro's JSON file (for the space macro)")
    parser.add_argument("--seeds", type=int, default=24, help="runs of each sampler and objective")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--samplers", default=",".join(samplers.names()))
    parser.add_argument("--objectives", default=",".join(OBJECTIVES))
    parser.add_argument("--spaces", default="macro", help="of macro, synthetic-1e6, synthetic-1e18")
    parser.add_argument("--earlier", type=int, default=0, help="warm start from a run of N evaluations")
    parser.add_argument("--scores", choices=SCORES, help="start from a score at initialisation")
    parser.add_argument("--images", help="CIFAR-10's images, for --scores gradient-norm")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--runs-json", type=Path, help="write every run here too, for --merge")
    parser.add_argument("--merge", type=Path, nargs="+", help="run nothing; sum up these --runs-json files")
    options = parser.parse_args()
    if options.merge:
        rows = summary([read(row) for path in options.merge for row in json.loads(path.read_text())])
        print(table(rows))
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        return
    objectives = options.objectives.split(",")
    jobs = [
        Job(space, options.data, name, objective, seed, options.earlier, options.scores, options.images)
        for space in options.spaces.split(",")
        for name in options.samplers.split(",")
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for objective in objectives
    ]
    began = time.perf_counter()
    # One thread to each process: the matrices are small.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        # All objectives of a seed in one process, which scores their networks once.
        results = list(pool.map(run, jobs, chunksize=len(objectives) if options.scores else 1))
    rows = summary(results)
    print(table(rows))
    print(f"\n{len(jobs)} runs in {(time.perf_counter() - began) / 60:.1f} minutes, {options.jobs} at a time")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if options.runs_json:
        options.runs_json.write_text(json.dumps([asdict(r) for r in results]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
