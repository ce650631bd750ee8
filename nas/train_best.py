"""The best of a search, trained in full and measured again: what nas-search --train-best does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from candidates.errors import InputError
from candidates.files import write_text
from nas.candidate import CANDIDATE, Candidate
from nas.evaluation import Measured
from nas.targets import Targets
from nas.trainer import opening, session
from nas.trainer.data import TrainingData, choose
from nas.trainer.folder import TrainingFolder, is_training, open_training
from nas.trainer.recipe import Recipe
from nas.trials import Row, candidate_of, ranked

FOLDER, SUMMARY = "trained", "trained.json"

TrainAll = Callable[
    [Sequence[TrainingFolder], TrainingData, session.Options, TextIO, Callable[[], bool]], bool
]
"""Trains what is not finished among the folders; answers whether all is, or the user asked to stop."""


def chosen(rows: Sequence[Row], targets: Targets, count: int) -> list[Row]:
    """The `count` highest rewards, those within every target first, no network twice."""
    unique: dict[str | None, Row] = {}
    for row in ranked(rows):
        unique.setdefault(row.id, row)
    order = sorted(unique.values(), key=lambda row: not targets.within(row.latencies))
    return order[:count]  # sorting is stable: by reward among those within, and among the others


def one_by_one(
    folders: Sequence[TrainingFolder],
    data: TrainingData,
    options: session.Options,
    stream: TextIO,
    stop: Callable[[], bool],
) -> bool:
    """Train all that is not finished, here; whether `stop` let it come to the end."""
    for number, folder in enumerate(folders, start=1):
        print(f"training {folder.path.name} in full, {number} of {len(folders)}", file=stream, flush=True)
        with folder.locked():
            if not folder.finished and session.run(folder, data, options, stream, stop=stop) is None:
                return False
    return True


@dataclass(frozen=True)
class Plan:
    """How many to train, and how; checked before the search begins. `train` is where: here, or in a cluster."""

    count: int
    recipe: Recipe
    options: session.Options
    train: TrainAll = one_by_one


def train_best(
    run: Path,
    data_name: str,
    seed: int,
    rows: Sequence[Row],
    found: Mapping[str, Any],
    plan: Plan,
    measure: Callable[[Any], Measured],
    stream: TextIO,
    stop: Callable[[], bool],
) -> list[dict[str, Any]] | None:
    """Train each of `rows` in `run`/trained/<id>, or go on with it, and measure it; None where `stop` asked.

    What is finished already is not trained again. The list, which trained.json holds too, has the highest
    accuracy first.
    """
    folders = []
    if rows:
        data = choose(opening.open_data(data_name, rows[0].arch(), plan.recipe))
        for row in rows:
            known = candidate_of(row, found)
            folders.append(_opened(run / FOLDER / str(row.id), known, data_name, seed, plan.recipe, data))
        if not plan.train(folders, data, plan.options, stream, stop):
            return None
    summary = [_measured(folder, row, measure) for folder, row in zip(folders, rows, strict=True)]
    summary.sort(key=lambda item: -item["accuracy"])
    write_text(run / SUMMARY, _json(summary))
    return summary


def _opened(
    path: Path, known: Candidate, data_name: str, seed: int, recipe: Recipe, data: TrainingData
) -> TrainingFolder:
    if is_training(path):
        folder = open_training(path)
        opening.check_same_data(folder, data)
        _check_same_recipe(folder, recipe)
        return folder
    arch = opening.fitted(known.architecture, data.source, None)
    name = known.architecture.id
    return session.new_training(name, arch, data_name, data, recipe, seed, path, known=known)


def _check_same_recipe(folder: TrainingFolder, recipe: Recipe) -> None:
    before, now = asdict(folder.recipe), asdict(recipe)
    other = [
        f"{name} {before[name]!r} instead of {value!r}"
        for name, value in now.items()
        if before[name] != value
    ]
    if other:
        raise InputError(
            f"{folder.path} is trained by another recipe: {', '.join(other[:4])}{', …' if other[4:] else ''}; "
            "give the same --train-recipe and --train-epochs, or remove that folder to train it anew"
        )


def _measured(folder: TrainingFolder, row: Row, measure: Callable[[Any], Measured]) -> dict[str, Any]:
    """The trained network measured as it is shipped; its candidate.json is given that measurement."""
    measurement = measure(folder.architecture)
    candidate = Candidate.load(folder.path / CANDIDATE)
    replace(candidate, latency_ms=measurement.latency_ms, measurement=measurement.to_dict()).save(
        folder.path / CANDIDATE
    )
    result = folder.result()
    return {
        "id": row.id,
        "folder": str(folder.path),
        "accuracy": result["accuracy"],
        "test_accuracy": (result["test"] or {}).get("top1"),
        "proxy_accuracy": row.accuracy,
        "latency_ms": measurement.latency_ms,
        "valid": measurement.valid,
        "epochs": result["epochs"],
    }


def _json(values: Any) -> str:
    return json.dumps(values, indent=2) + "\n"
