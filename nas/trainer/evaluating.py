"""Scoring what was trained: a finished network on a split, or a folder's checkpoints as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax

from candidates import build
from candidates.errors import InputError
from candidates.labels import spelled
from nas.data import absolute, open_source
from nas.data.source import SEARCHED, TEST, TRAIN, VALIDATION, Source
from nas.trainer import checkpoints, opening, session
from nas.trainer.augment import Normaliser
from nas.trainer.data import choose, test_indices
from nas.trainer.folder import TrainingFolder, open_training
from nas.trainer.loading import Decoded, Loaded, open_batches
from nas.trainer.order import Indices
from nas.trainer.recipe import Recipe
from nas.trainer.scoring import Score, eval_plan, score
from nas.trainer.trained import Trained

SPLITS = (VALIDATION, TEST)
_WAIT = 2.0  # seconds between two looks at a folder that is watched


def open_split(
    name: str, split: str, arch: Any, recipe: Recipe, fold: str | None = None
) -> tuple[Source, str, Indices]:
    """The images to score: the validation images of a training on that data, or its test split."""
    if split == VALIDATION:
        data = choose(opening.open_data(name, arch, recipe, SEARCHED), fold)
        return data.source, data.held_split, data.held
    source = opening.open_data(name, arch, recipe, (TRAIN, TEST))
    indices = test_indices(source)
    if not len(indices):
        raise InputError(f"{source.name} has no test split; score its validation images with --split val")
    return source, TEST, indices


def evaluate(model: Trained, name: str, split: str, workers: int, folder: TrainingFolder | None) -> Score:
    """Score `model` on a split of the data called `name`; `folder` is its training's, where it has one."""
    recipe = Recipe() if folder is None else folder.recipe
    if folder is None:
        open_source(name)  # its errors before those of the classes
    arch = None if folder is None else folder.architecture
    own = folder is not None and folder.record["data"] in (name, absolute(name))
    fold = folder.fold if folder is not None and own else None
    source, where, indices = open_split(name, split, arch, recipe, fold)
    _check_classes(model, source)
    images = Decoded(source, where, indices, model.preprocessing, recipe, None)
    sums = np.zeros(5)
    batches = Loaded(images, workers, torch.device("cpu"))
    for batch in batches.epoch(0, eval_plan(batches.groups)):
        labels, pixels = batch.labels.numpy(), batch.pixels.numpy()
        known = labels >= 0
        sums[4] += (~known).sum()
        if known.any():
            sums[:4] += _counts(model.logits(pixels[known]), labels[known])
    seen = max(1.0, sums[3])
    return Score(sums[0] / seen, sums[1] / seen, sums[2] / seen, int(sums[3]), int(sums[4]))


def _counts(logits: Any, labels: Any) -> Any:
    order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    right = order == labels[:, None]
    loss = -log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].sum()
    return np.array([right[:, 0].sum(), right.sum(), loss, len(labels)])


def _check_classes(model: Trained, source: Source) -> None:
    if source.channels != model.channels:
        raise InputError(
            f"{source.name} has images of {source.channels} channels; {model.path} takes {model.channels}"
        )
    if model.labels is not None and spelled(source.class_names) != model.labels:
        raise InputError(
            f"{source.name} has the classes {_some(source.class_names)}, but {model.path} knows {_some(model.labels)}; "
            "give data of the classes it was trained on"
        )


def watch(folder: TrainingFolder, device: torch.device, workers: int) -> Iterator[dict[str, Any]]:
    """Score each checkpoint of a training as it appears, on the validation images, until the training is finished."""
    source, where, indices = open_split(
        folder.record["data"], VALIDATION, folder.architecture, folder.recipe, folder.fold
    )
    images = session.evaluation_images(folder, source, where, indices)
    batches = open_batches(images, workers, device)
    network = build(folder.architecture).to(device)
    normalise = Normaliser(folder.preprocessing, device)
    seen: set[int] = set()
    while True:
        finished = open_training(folder.path).finished
        for step, path in checkpoints.checkpoint_paths(folder.path).items():
            if step in seen:
                continue
            seen.add(step)
            if not path.exists():  # replaced by a later one meanwhile
                continue
            state = checkpoints.load(path, folder.architecture.id)
            average = state["average"]
            network.load_state_dict(state["network"] if average is None else average["weights"])
            found = score(network, batches, normalise)
            yield {"checkpoint": str(path), "step": step, "split": VALIDATION, **found.to_dict()}
        if finished:
            return
        time.sleep(_WAIT)


def _some(names: Any) -> str:
    return ", ".join(list(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
