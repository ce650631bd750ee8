"""What nas-train does with what was trained: evaluate, predict, compare."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

from candidates import checks
from candidates.errors import InputError
from candidates.files import check_folder, expanded
from nas.commands.train_modes import only
from nas.commands.train_options import Machine


def evaluate(
    given: list[str],
    data: str | None,
    split: str,
    keep_watching: bool,
    machine: Machine,
    stream: TextIO,
    as_json: bool,
) -> int:
    """Score a trained network, or a training's checkpoints as they come."""
    text = only(given)
    checks.one_of("--split", split, ("val", "test"))
    options = machine.options()
    from nas import cpu

    cpu.prepare()
    from nas.data import known_as
    from nas.progress import percent
    from nas.trainer import evaluating
    from nas.trainer.folder import is_training, open_training
    from nas.trainer.trained import open_trained
    from nas.training import pick_device

    path = expanded("candidate", text)
    folder = open_training(path) if is_training(path) else None
    if keep_watching:
        if folder is None:
            raise InputError(f"--watch is for a training folder; {text} is none")
        if split == "test":
            raise InputError(
                "--watch scores validation images; the test images are for the end of a training"
            )
        seen = []
        for found in evaluating.watch(folder, pick_device(options.device), options.workers):
            seen.append(found)
            print(
                f"step {found['step']}: validation {percent(found['top1'])} top-1 (loss {found['loss']:.4f})",
                file=stream,
                flush=True,
            )
        if as_json:
            json.dump(seen, sys.stdout, indent=2)
            print()
        return 0
    if data is None and folder is None:
        raise InputError("Missing option '--data'; an exported network does not say what it was trained on")
    model = open_trained(text, str(pick_device(options.device)))
    name = data if data is not None else str(folder.record["data"])  # type: ignore[union-attr]
    scored = evaluating.evaluate(
        model, name if data is None else known_as(data), split, options.workers, folder
    )
    what = {"val": "validation", "test": "test"}[split]
    if as_json:
        values = {"model": str(model.path), "data": name, "split": what, "accuracy": scored.top1}
        json.dump({**values, **scored.to_dict()}, sys.stdout, indent=2)
        print()
        return 0
    print(
        f"{what} {percent(scored.top1)} top-1, {percent(scored.top5)} top-5, loss {scored.loss:.4f} on "
        f"{scored.images} images of {name}"
        + (f"; {scored.unreadable} unreadable ones left out" if scored.unreadable else "")
    )
    return 0


def predict(given: list[str], as_json: bool) -> int:
    """Classify images with a trained or exported network."""
    if len(given) < 2:
        raise InputError(
            "--predict needs a trained network and images; for example nas-train trained --predict a.jpg"
        )
    from candidates.errors import RunError
    from nas.progress import percent
    from nas.trainer.predicting import image_paths, predictions
    from nas.trainer.trained import open_trained

    model, paths = open_trained(given[0]), image_paths(given[1:])
    found = []
    for item in predictions(model, paths):
        found.append(item)
        if "error" in item:
            print(f"nas-train: {item['path']} cannot be read: {item['error']}", file=sys.stderr)
        elif not as_json:
            others = ", ".join(
                f"{other['class']} {percent(other['probability'])}" for other in item["top"][1:3]
            )
            print(f"{item['path']}  {item['class']} {percent(item['probability'])}  ({others})", flush=True)
    if as_json:
        json.dump(found, sys.stdout, indent=2)
        print()
    bad = sum("error" in item for item in found)
    if bad == len(found):
        raise RunError("no image can be read" if bad > 1 else "the image cannot be read")
    named = {str(expanded("image", text)) for text in given[1:]}  # of a folder's images some may be bad
    return 1 if any("error" in item and str(item["path"]) in named for item in found) else 0


def compare(given: list[str], out: Path | None, as_json: bool) -> int:
    """Several trainings in one table and one plot."""
    if not given:
        raise InputError("--compare needs training folders; for example nas-train --compare trained other")
    from nas.progress import percent
    from nas.report.pictures import write_picture
    from nas.trainer.comparing import plot, plot_path, read_curves

    curves = read_curves(given)
    path = plot_path(None if out is None else expanded("--out", out))
    check_folder("--out", path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = write_picture(path, plot(curves))
    found = [curve.to_dict() for curve in curves]
    if as_json:
        json.dump({"trainings": found, "plot": str(path)}, sys.stdout, indent=2)
        print()
        return 0
    width = max(len(curve.name) for curve in curves)
    print(
        f"{'training':<{max(8, width)}}  optimizer   schedule     epochs     final      best (epoch)       test"
    )
    for curve, row in zip(curves, found, strict=True):
        print(
            f"{curve.name:<{max(8, width)}}  {row['optimizer']:<10}  {row['schedule']:<11}  "
            f"{row['epochs']:>3}/{row['of_epochs']:<3}  {percent(row['final_accuracy']):>8}  "
            f"{percent(row['best_accuracy']):>8} ({row['best_epoch']:>3})  {percent(row['test_accuracy']):>9}"
        )
    print(", ".join(str(picture) for picture in pictures))
    return 0
