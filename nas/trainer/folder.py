"""A training's folder: what is in it, and that only one training works in it at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from candidates import Architecture, Baseline, checks, labels
from candidates import preprocessing as preprocessing_file
from candidates.errors import InputError
from candidates.files import expanded, made_folders, read_text, write_text
from candidates.preprocessing import Preprocessing
from nas import folders
from nas.candidate import CANDIDATE, Candidate
from nas.folders import held
from nas.trainer import recipe as recipes
from nas.trainer.recipe import Recipe

FORMAT = 1
RECORD, RECIPE, ARCHITECTURE = "training.json", "recipe.yaml", "architecture.json"
WEIGHTS, METRICS, RESULT = "model.safetensors", "metrics.csv", "result.json"
_TEXTS = ("data", "candidate")


@dataclass(frozen=True)
class TrainingFolder:
    """A training's folder at `path`; `record` is what training.json holds."""

    path: Path
    record: Mapping[str, Any]
    recipe: Recipe
    architecture: Architecture | Baseline
    preprocessing: Preprocessing

    @property
    def finished(self) -> bool:
        """Whether the training has come to its end."""
        return (self.path / RESULT).is_file() and (self.path / WEIGHTS).is_file()

    @property
    def classes(self) -> list[str]:
        """The classes' names."""
        return list(self.record["classes"])

    @property
    def fold(self) -> str | None:
        """Which fold of the training images is held out, such as 2/5, where it is not the usual split."""
        return self.record.get("fold")

    @property
    def seed(self) -> int:
        """What decides every random draw."""
        return int(self.record["seed"])

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a file of the folder in one step."""
        write_text(self.path / name, json.dumps(values, indent=2) + "\n")

    def result(self) -> dict[str, Any]:
        """What result.json holds."""
        where = str(self.path / RESULT)
        found = checks.parsed_json(where, read_text(self.path / RESULT))
        scores = checks.mapping(f"{where}: validation", found.get("validation"))
        tested = found.get("test")
        for split, known in (("validation", scores), ("test", tested)):
            if known is not None:
                given = checks.mapping(f"{where}: {split}", known)
                for name in ("top1", "top5", "images"):
                    checks.number(f"{where}: {split}'s {name}", given.get(name))
        checks.number(f"{where}: accuracy", found.get("accuracy"), 0.0, 1.0)
        checks.integer(f"{where}: epochs", found.get("epochs"))
        return found

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folder; raises InputError where another training holds it."""
        return held(self.path, "training")


def check_free(path: Path) -> None:
    """Raise InputError unless a new training can be put at `path`."""
    folders.check_free(path, RECORD, "nas-train --resume")


def create(
    path: Path,
    record: Mapping[str, Any],
    recipe: Recipe,
    arch: Architecture | Baseline,
    preprocessing: Preprocessing,
    known: Candidate,
) -> TrainingFolder:
    """Make the folder with recipe, architecture, preprocessing and labels; last, training.json.

    `known` is what was found out about the architecture before, which candidate.json keeps.
    """
    check_free(path)
    folder = TrainingFolder(path, {"format": FORMAT, "id": arch.id, **record}, recipe, arch, preprocessing)
    with made_folders(path):
        try:
            write_text(path / RECIPE, recipe.to_yaml())
            arch.save(path / ARCHITECTURE)
            known = replace(known, accuracy=None, reward=None, within_target=None, untrained=False)
            known.save(path / CANDIDATE)
            folder.write_json(preprocessing_file.FILE, preprocessing.to_dict())
            write_text(path / labels.FILE, labels.labels_text(folder.classes))
            folder.write_json(RECORD, folder.record)
        except BaseException:
            for name in (RECIPE, ARCHITECTURE, CANDIDATE, preprocessing_file.FILE, labels.FILE):
                (path / name).unlink(missing_ok=True)
            raise
    return folder


def is_training(path: Path) -> bool:
    """Whether `path` is a training's folder."""
    return (path / RECORD).is_file()


def open_training(text: str | Path) -> TrainingFolder:
    """An existing training's folder; raises InputError for anything else, a newer format included."""
    path = expanded("the training folder", text)
    if not is_training(path):
        raise InputError(
            f"{path} is not a training folder: it has no {RECORD}; give the --out of a nas-train"
        )
    where = str(path / RECORD)
    record = checks.parsed_json(where, read_text(path / RECORD))
    checks.format_number(where, record, FORMAT)
    for name in _TEXTS:
        checks.text(f"{where}: {name}", record.get(name))
    for name in ("fold", "teacher"):
        if record.get(name) is not None:
            checks.text(f"{where}: {name}", record[name])
    source = record.get("init_from")
    if source is not None:
        given = checks.mapping(f"{where}: init_from", source)
        for name in ("path", "weights"):
            checks.text(f"{where}: init_from's {name}", given.get(name))
    checks.integer(f"{where}: seed", record.get("seed"), 0)
    for label in checks.sequence(f"{where}: classes", record.get("classes")):
        checks.text(f"{where}: a class", label)
    arch = Candidate.load(path / ARCHITECTURE).architecture
    if arch.id != record.get("id"):
        raise InputError(
            f"{path / ARCHITECTURE} has the id {arch.id}, but {where} says {checks.shown(record.get('id'))}"
        )
    preprocessing = Preprocessing.load(path / preprocessing_file.FILE)
    return TrainingFolder(path, record, recipes.load(str(path / RECIPE)), arch, preprocessing)
