"""What nas-train does, mode by mode."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from candidates import Architecture, Baseline, checks
from candidates.errors import InputError
from candidates.files import check_folder, expanded
from nas.commands.train_options import Machine, Wanted, resolved_recipe
from nas.words import counted

if TYPE_CHECKING:
    from nas.trainer.folder import TrainingFolder
    from nas.trainer.recipe import Recipe
    from nas.trainer.session import Options


def show(wanted: Wanted) -> int:
    """Print the resolved recipe as YAML."""
    recipe = resolved_recipe(wanted)
    print(recipe.to_yaml(), end="")
    print(f"# learning rate {recipe.peak_lr:g} for the batch of {recipe.batch}")
    return 0


def train(wanted: Wanted, machine: Machine, stream: TextIO, as_json: bool) -> int:
    """A new training."""
    from nas.find_candidate import find_candidate

    found = find_candidate(only(wanted.given))
    recipe = resolved_recipe(wanted)
    checks.integer("--seed", wanted.seed, 0, 2**63 - 2)
    if wanted.resolution is not None:
        checks.integer("--resolution", wanted.resolution, 1, 4096)
    if wanted.data is not None and wanted.fake_data:
        raise InputError("--data and --fake-data exclude each other; give one of them")
    if wanted.data is None and not wanted.fake_data:
        raise InputError(
            "Missing option '--data'; for example --data ~/photos, --data digits, or --fake-data"
        )
    if wanted.out is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("Missing option '--out', which the processes of torchrun have to agree on")
    out = expanded("--out", wanted.out or Path("runs") / time.strftime("%Y%m%d-%H%M%S"))
    check_folder("--out", out)

    from nas import cpu

    cpu.prepare()
    from nas.data import known_as
    from nas.trainer import folder as folders
    from nas.trainer import opening, session
    from nas.trainer.data import choose
    from nas.trainer.devices import make_fabric
    from nas.trainer.init import initial_weights

    folders.check_free(out)
    options = machine.options()
    name = opening.FAKE if wanted.fake_data else known_as(str(wanted.data))
    arch = _with_head(found.architecture, wanted.head).scaled(wanted.width)
    if wanted.fake_data and wanted.resolution is not None:
        arch = arch.for_input(wanted.resolution)
    data = choose(opening.open_data(name, arch, recipe), wanted.fold)
    arch = opening.fitted(arch, data.source, wanted.resolution)
    init, weights = initial_weights(wanted.init_from, wanted.init_weights, arch)
    extra = {"teacher": _absolute_teacher(wanted.teacher), "fold": wanted.fold}
    fabric = make_fabric(options.device, recipe.precision)
    if fabric.is_global_zero:
        for line in _notes(found.architecture, arch, data, recipe):
            print(line, file=stream, flush=True)
        if weights is None and (expanded("candidate", wanted.given[0]) / folders.WEIGHTS).is_file():
            again = f"--init-from {wanted.given[0]}"
            print(f"trained from scratch; {again} would start from its weights", file=stream)
        session.new_training(
            wanted.given[0], arch, name, data, recipe, wanted.seed, out, init, found, extra, fabric.world_size
        )
    fabric.barrier()
    folder = folders.open_training(out)
    with _held(folder, fabric.is_global_zero):
        return _run(folder, data, options, stream, as_json, weights, fabric)


def _with_head(arch: Architecture | Baseline, head: int | None) -> Architecture | Baseline:
    """The candidate with another number of channels before the classifier."""
    if head is None:
        return arch
    if isinstance(arch, Baseline):
        raise InputError(f"--head is for networks of blocks; {arch.name or arch.id} is a list of layers")
    return replace(arch, head=checks.integer("--head", head, 1, 1_000_000))


def _absolute_teacher(text: str | None) -> str | None:
    """The teacher's path as the folder keeps it; opened here, so that a wrong one shows before a folder is made."""
    if text is None:
        return None
    from nas.trainer.trained import open_trained

    return str(open_trained(text).path.resolve())


def resume(path: Path, machine: Machine, stream: TextIO, as_json: bool) -> int:
    """Go on with a training from its last checkpoint, or from its start where it has none."""
    from nas import cpu

    cpu.prepare()
    from nas.trainer import opening
    from nas.trainer.checkpoints import checkpoint_paths
    from nas.trainer.data import choose
    from nas.trainer.devices import make_fabric
    from nas.trainer.folder import open_training
    from nas.trainer.init import initial_weights

    folder = open_training(path)
    options = machine.options()
    if folder.finished:
        return _say(folder, folder.result(), stream, as_json)
    data = choose(opening.open_data(folder.record["data"], folder.architecture, folder.recipe), folder.fold)
    opening.check_same_data(folder, data)
    weights = None
    source = folder.record.get("init_from")
    if source is not None and not checkpoint_paths(folder.path):
        _, weights = initial_weights(source["path"], source["weights"], folder.architecture)
    fabric = make_fabric(options.device, folder.recipe.precision)
    with _held(folder, fabric.is_global_zero):
        return _run(folder, data, options, stream, as_json, weights, fabric)


def _run(
    folder: TrainingFolder,
    data: Any,
    options: Options,
    stream: TextIO,
    as_json: bool,
    weights: Any,
    fabric: Any,
) -> int:
    from nas.stopping import Stop
    from nas.trainer import session

    stop = Stop(
        lambda text: print("stopping after this update; Ctrl-C again stops now", file=stream, flush=True)
    )
    with stop.listening():
        result = session.run(folder, data, options, stream, weights, lambda: stop.asked, fabric)
    if result is None:
        print(f"interrupted; go on with: nas-train --resume {folder.path}", file=stream)
        return 130
    return _say(folder, result, stream, as_json) if fabric.is_global_zero else 0


@contextmanager
def _held(folder: TrainingFolder, here: bool) -> Iterator[None]:
    """The folder's lock, in the first process."""
    if not here:
        yield
        return
    with folder.locked():
        yield


def _notes(
    named: Architecture | Baseline, arch: Architecture | Baseline, data: Any, recipe: Recipe
) -> list[str]:
    found = data.describe()
    notes = [
        f"{found['name']}: {found['train_images']} images to train, {found['validation_images']} to validate "
        f"({found['validation_split']}), {found['classes']} classes, at {arch.resolution}×{arch.resolution}",
        f"{arch.name or arch.id}: {arch.parameters() / 1e6:.2f} M parameters, "
        f"{arch.multiply_adds() / 1e6:.0f} M multiply-adds, {counted(recipe.epochs, 'epoch')}",
    ]
    if arch.id != named.id:
        notes.append(
            f"fitted to the data: {arch.classes} classes, {arch.channels_in} channels, "
            f"{arch.resolution}×{arch.resolution} (was {named.classes}, {named.channels_in}, "
            f"{named.resolution}×{named.resolution})"
        )
    if data.source.own_size < arch.resolution:
        size = data.source.own_size
        notes.append(
            f"the images are about {size} pixels and are enlarged; --resolution {size} would train at their size"
        )
    return notes


def _say(folder: TrainingFolder, result: dict[str, Any], stream: TextIO, as_json: bool) -> int:
    from nas.progress import percent

    files = [
        path for path in sorted(folder.path.iterdir()) if path.is_file() and not path.name.startswith(".")
    ]
    test = result.get("test")
    lines = [
        f"validation {percent(result['validation']['top1'])} top-1, {percent(result['validation']['top5'])} top-5 "
        f"on {result['validation']['images']} images after {counted(result['epochs'], 'epoch')} ({result['weights']})",
        f"test {percent(test['top1'])} top-1, {percent(test['top5'])} top-5 on {test['images']} images, "
        "used once, after the last epoch"
        if test
        else "no test split: the accuracy is that of the validation images",
        *(
            [
                f"{counted(result['unreadable_images'], 'unreadable image')} left out, the first: "
                f"{result['unreadable'][0]}"
            ]
            if result.get("unreadable_images")
            else []
        ),
        f"in {folder.path}: {', '.join(path.name for path in files)}",
        f"next: nas-export {folder.path} --format onnx,torch --out mynet",
    ]
    print("\n".join(lines), file=stream, flush=True)
    if as_json:
        json.dump(
            {**result, "folder": str(folder.path), "files": [str(path) for path in files]},
            sys.stdout,
            indent=2,
        )
        print()
    return 0


def only(given: list[str]) -> str:
    """The one candidate that is given."""
    if len(given) != 1:
        raise InputError(
            f"got {' '.join(given)}; expected one CANDIDATE"
            if given
            else "Missing argument 'CANDIDATE'; for example mnasnet-a1, or a search's run folder"
        )
    return given[0]
