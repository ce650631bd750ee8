"""The data of a training: opened, held against the architecture, and against what a folder was trained on."""

from __future__ import annotations

from dataclasses import replace

from candidates import Architecture, Baseline
from candidates.errors import InputError
from nas.data import open_source
from nas.data.source import SEARCHED, TEST, TRAIN, Source
from nas.trainer.data import TrainingData, test_indices
from nas.trainer.folder import TrainingFolder
from nas.trainer.order import Indices
from nas.trainer.recipe import Recipe

FAKE = "fake"


def open_data(
    name: str, arch: Architecture | Baseline, recipe: Recipe, splits: tuple[str, ...] = SEARCHED
) -> Source:
    """The data set of that name; `fake` is made up to fit the architecture."""
    if name != FAKE:
        return open_source(name, splits)
    from nas.data.fake import FakeSource

    return FakeSource.of(arch.classes, arch.resolution, arch.channels_in, 4 * recipe.batch)


def fitted(arch: Architecture | Baseline, source: Source, resolution: int | None) -> Architecture | Baseline:
    """`arch` with the data's channels and classes, and at `resolution` where one is asked for."""
    classes = len(source.class_names)
    if (arch.channels_in, arch.classes) == (source.channels, classes) and resolution in (
        None,
        arch.resolution,
    ):
        return arch
    found = arch.for_input(resolution or arch.resolution, source.channels, classes)
    return replace(found, name=arch.name)


def tested(
    name: str, arch: Architecture | Baseline, recipe: Recipe, data: TrainingData
) -> tuple[Source, Indices]:
    """The data's test images, of which there may be none; InputError where their classes are others."""
    source = open_data(name, arch, recipe, (TRAIN, TEST))
    if source.class_names != data.classes:
        raise InputError(
            f"{source.name}: with the test split there are {len(source.class_names)} classes, without it "
            f"{len(data.classes)}; expected the same"
        )
    return source, test_indices(source)


def test_of(data: TrainingData, folder: TrainingFolder) -> tuple[Source, Indices]:
    """The test images that belong to a training's data."""
    return tested(str(folder.record["data"]), folder.architecture, folder.recipe, data)


def check_same_data(folder: TrainingFolder, data: TrainingData) -> None:
    """Raise InputError where the data are not those that the training began with."""
    theirs, ours = list(data.classes), folder.classes
    if theirs != ours:
        raise InputError(
            f"{data.source.name} has the classes {_some(theirs)}, but {folder.path} was trained on {_some(ours)}; "
            f"to train on other classes start anew: nas-train {folder.path} --init-from {folder.path} --data …"
        )
    if data.fingerprint != folder.record.get("data_fingerprint"):
        raise InputError(
            f"{data.source.name} has changed since the training began (now {len(data.train)} images to train and "
            f"{len(data.held)} to validate); restore it, or start a new training with --init-from {folder.path}"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
