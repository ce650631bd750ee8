"""A training from its settings: everything is checked and opened here, then handed to the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch
from torch import nn

from candidates import Architecture, Baseline, build
from candidates.errors import InputError, RunError
from candidates.files import write_bytes
from candidates.preprocessing import Preprocessing
from nas.candidate import CANDIDATE, Candidate
from nas.data.source import TEST, TRAIN, Source
from nas.run_folder import versions
from nas.trainer import checkpoints, stochastic_depth
from nas.trainer.augment import Augmenter
from nas.trainer.data import TrainingData, measure_pixels, resize_of
from nas.trainer.devices import make_fabric
from nas.trainer.ema import Average
from nas.trainer.folder import RESULT, WEIGHTS, TrainingFolder, create
from nas.trainer.loading import Batches, Decoded, open_batches
from nas.trainer.loop import Training, fit, score_split, summed
from nas.trainer.monitor import Monitor
from nas.trainer.opening import test_of, tested
from nas.trainer.optimizers import make_optimizer
from nas.trainer.order import Indices, epoch_parts, update_size
from nas.trainer.recipe import Recipe
from nas.trainer.schedules import Plateau
from nas.trainer.teacher import Teacher
from nas.trainer.trained import open_trained
from nas.training import zero_classifier

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Options:
    """How a training runs on this machine; none of it is part of what is trained.

    A checkpoint is written after each epoch and every `checkpoint_steps` updates (None: every ten minutes).
    """

    device: str = "auto"
    workers: int = 0
    tensorboard: bool = True
    checkpoint_steps: int | None = None


def new_training(
    candidate: str,
    arch: Architecture | Baseline,
    data_name: str,
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    out: Path,
    init: dict[str, Any] | None = None,
    known: Candidate | None = None,
    extra: Mapping[str, Any] | None = None,
    processes: int = 1,
) -> TrainingFolder:
    """Make the folder of a training of `arch`, which fits `data`; `init` tells what its weights start from.

    `known` is what was found out about the candidate, which is kept where `arch` is still the same network;
    `extra` may name a `teacher` and the `fold` that `data` hold out. Whatever would end the training before its
    first update, on that many `processes`, is refused here, and no folder is made.
    """
    if known is None or known.architecture != arch:
        known = Candidate(arch)
    _check_fits(arch, data, recipe, processes)
    tested(data_name, arch, recipe, data)  # what is wrong with the test split shows now, and not at the end
    if init is not None and init["normalisation"] is not None:
        (mean, std), told = init["normalisation"], "those of the weights that were started from"
    else:
        mean, std = measure_pixels(data, arch.resolution)
        told = f"the training images' of {data.source.name}"
    resize = resize_of(recipe.eval_crop, arch.resolution)
    preprocessing = Preprocessing(arch.resolution, resize, mean, std, told)
    _teacher((extra or {}).get("teacher"), preprocessing, data.classes, "cpu")
    record = {
        "candidate": candidate,
        "data": data_name,
        "data_description": data.describe(),
        "data_fingerprint": data.fingerprint,
        "seed": seed,
        "classes": list(data.classes),
        "init_from": None if init is None else init["from"],
        "versions": versions(),
        **(extra or {}),
    }
    return create(out, record, recipe, arch, preprocessing, known)


def prepare(
    fabric: Fabric,
    folder: TrainingFolder,
    data: TrainingData,
    options: Options,
    monitor: Monitor,
    weights: dict[str, torch.Tensor] | None = None,
) -> Training:
    """Build the network, the optimiser and the batches, and take up the last checkpoint where there is one.

    `weights` is what the network starts from, as far as names and shapes fit (see `init`).
    """
    recipe, arch = folder.recipe, folder.architecture
    _check_fits(arch, data, recipe, fabric.world_size)
    network = build(arch, seed=folder.seed, dropout=recipe.dropout)
    set_momentum(network, recipe.bn_momentum)
    if recipe.zero_classifier:
        zero_classifier(network)
    if weights is not None:
        network.load_state_dict(weights, strict=False)
    network.to(fabric.device)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = None if recipe.ema_decay is None else Average(network, recipe.ema_decay)
    if recipe.stochastic_depth:
        stochastic_depth.attach(network, recipe.stochastic_depth)
    optimizer = make_optimizer(network, recipe)
    compiled: Any = torch.compile(network) if recipe.compile else network
    model, stepper = fabric.setup(compiled, optimizer)
    training = Training(
        fabric=fabric,
        folder=folder,
        recipe=recipe,
        data=data,
        network=network,
        model=model,
        optimizer=optimizer,
        stepper=stepper,
        average=average,
        plateau=Plateau(recipe.decay_factor, recipe.patience),
        augment=Augmenter(recipe, folder.preprocessing, folder.seed, fabric.device),
        train_batches=_batches(training_images(folder, data), options, fabric),
        held_batches=_batches(held_images(folder, data), options, fabric),
        monitor=monitor,
        teacher=_teacher(
            folder.record.get("teacher"), folder.preprocessing, folder.classes, str(fabric.device)
        ),
        checkpoint_steps=options.checkpoint_steps,
    )
    last = list(checkpoints.checkpoint_paths(folder.path).values())
    if last:
        training.restore(checkpoints.load(last[-1], arch.id))
    return training


def _check_fits(arch: Architecture | Baseline, data: TrainingData, recipe: Recipe, processes: int) -> None:
    images, parts = len(data.train), epoch_parts(recipe.epoch_fraction)
    share = processes * recipe.accumulate
    if update_size(images // parts, recipe.batch, processes, recipe.accumulate) < 2:
        each = (
            f", {images // parts} in an epoch (epoch_fraction {recipe.epoch_fraction:g})" if parts > 1 else ""
        )
        raise InputError(
            f"{data.source.name} has {images} images to train{each}; too few for an update"
            + (f" in {share} parts (processes × accumulate)" if share > 1 else "")
        )
    if recipe.batch % share:
        raise InputError(
            f"a global batch of {recipe.batch} does not divide among {share} processes and parts"
        )
    if any(layer.operation == "dense" for layer in arch.layers):
        for name in ("image_sizes", "eval_shapes"):
            if getattr(recipe, name) != getattr(Recipe, name):
                raise InputError(
                    f"{name} is for networks that take any size; {arch.name or arch.id} takes one alone"
                )


def _teacher(
    name: str | None, preprocessing: Preprocessing, classes: Sequence[str], device: str
) -> Teacher | None:
    return None if name is None else Teacher(open_trained(name, device), preprocessing, classes)


def training_images(folder: TrainingFolder, data: TrainingData) -> Decoded:
    """The images to train on, as the recipe crops them."""
    return Decoded(data.source, TRAIN, data.train, folder.preprocessing, folder.recipe, folder.seed)


def held_images(folder: TrainingFolder, data: TrainingData) -> Decoded:
    """The images to validate on."""
    return evaluation_images(folder, data.source, data.held_split, data.held)


def evaluation_images(folder: TrainingFolder, source: Source, split: str, indices: Any) -> Decoded:
    """Images as the network is evaluated on them."""
    return Decoded(source, split, indices, folder.preprocessing, folder.recipe, None)


def _batches(images: Decoded, options: Options, fabric: Fabric) -> Batches:
    return open_batches(images, options.workers, fabric.device)


def set_momentum(network: nn.Module, momentum: float) -> None:
    """Set batch normalisation's momentum (PyTorch's sense: the share of the new batch)."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum


def run(
    folder: TrainingFolder,
    data: TrainingData,
    options: Options,
    stream: TextIO,
    weights: dict[str, torch.Tensor] | None = None,
    stop: Callable[[], bool] = lambda: False,
    fabric: Fabric | None = None,
    test: tuple[Source, Indices] | None = None,
) -> dict[str, Any] | None:
    """Train to the end and write the result, which is returned; None where `stop` asked to end before.

    `test` is the test images, where they are not to be looked for under the data's name.
    """
    fabric = fabric or make_fabric(options.device, folder.recipe.precision)
    monitor = Monitor(stream if fabric.is_global_zero else None, options.tensorboard)
    try:
        training = prepare(fabric, folder, data, options, monitor, weights)
        if training.position.step:
            here = training.position
            monitor.table(training)  # as of the checkpoint: what was killed after it may not have written it
            monitor.note(f"going on at step {here.step}, in epoch {here.epoch + 1} of {folder.recipe.epochs}")
        if not fit(training, stop):
            return None
        return _finish(training, options, test)
    finally:
        monitor.close()


def _finish(
    training: Training, options: Options, given: tuple[Source, Indices] | None = None
) -> dict[str, Any]:
    """Write the weights, then the accuracies: on the validation images, and once on the test images."""
    folder, data = training.folder, training.data
    counts = torch.zeros(len(data.classes), len(data.classes), dtype=torch.int64)
    validation = score_split(training, training.held_batches, counts)
    training.monitor.confusion(
        training, summed(training.fabric, counts.double().to(training.fabric.device)).cpu()
    )
    source, indices = given or test_of(data, folder)
    test = None
    if len(indices):
        images = evaluation_images(folder, source, TEST, indices)
        test = score_split(training, _batches(images, options, training.fabric)).to_dict()
    result = {
        "format": 1,
        "id": folder.architecture.id,
        "accuracy": validation.top1,
        "validation": validation.to_dict(),
        "test": test,
        "test_images_used": "once, after the last epoch" if test else "the data have no test split",
        "weights": "exponential moving average" if training.average is not None else "as trained",
        "epochs": folder.recipe.epochs,
        "steps": training.position.step,
        "data": data.describe(),
        "unreadable": sorted(training.unreadable)[:100],
        "unreadable_images": len(training.unreadable),
        "device": str(training.fabric.device),
        "processes": training.fabric.world_size,
        "parameters": folder.architecture.parameters(),
        "multiply_adds": folder.architecture.multiply_adds(),
    }
    if training.fabric.is_global_zero:
        save_weights(folder.path / WEIGHTS, training.evaluated)
        found = {"training": {name: result[name] for name in ("validation", "test", "epochs", "data")}}
        known = Candidate.load(folder.path / CANDIDATE)
        replace(known, accuracy=validation.top1, found={**known.found, **found}).save(folder.path / CANDIDATE)
        folder.write_json(RESULT, result)
    training.fabric.barrier()
    return result


def save_weights(path: Path, network: nn.Module) -> None:
    """Write a network's weights as safetensors in one step."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    try:
        write_bytes(path, save(tensors))
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}; free some space, then go on with: "
            f"nas-train --resume {path.parent}"
        ) from None
