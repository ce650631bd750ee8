"""Several trainings side by side: a table, and their validation accuracies over epochs in one plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from candidates import checks
from candidates.errors import InputError
from candidates.files import read_text
from nas.trainer.folder import METRICS, TrainingFolder, open_training


@dataclass(frozen=True)
class Curve:
    """A training with what it is called here, its epochs and their validation accuracies."""

    name: str
    folder: TrainingFolder
    epochs: tuple[float, ...]
    accuracies: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        result = self.folder.result() if self.folder.finished else {}
        recipe = self.folder.recipe
        best = max(self.accuracies)
        return {
            "folder": str(self.folder.path),
            "id": self.folder.architecture.id,
            "optimizer": recipe.optimizer,
            "schedule": recipe.schedule,
            "epochs": int(self.epochs[-1]),
            "of_epochs": recipe.epochs,
            "final_accuracy": self.accuracies[-1],
            "best_accuracy": best,
            "best_epoch": int(self.epochs[self.accuracies.index(best)]),
            "test_accuracy": (result.get("test") or {}).get("top1"),
        }


def read_curves(folders: Sequence[str]) -> list[Curve]:
    """Trainings' curves, called as their folders are; by the paths as given where these names are not different."""
    curves = [_read(text) for text in folders]
    names = [curve.folder.path.name for curve in curves]
    if len(set(names)) < len(names):
        names = list(folders)
    return [replace(curve, name=name) for curve, name in zip(curves, names, strict=True)]


def _read(text: str) -> Curve:
    """A training's curve from its metrics.csv; InputError where it has none yet."""
    folder = open_training(text)
    path = folder.path / METRICS
    if not path.is_file():
        raise InputError(f"{path} is not there yet: no epoch of this training is done")
    rows = list(csv.DictReader(io.StringIO(read_text(path))))
    try:
        epochs = tuple(checks.number("epoch", float(row["epoch"])) for row in rows)
        accuracies = tuple(
            checks.number("validation_accuracy", float(row["validation_accuracy"]), 0.0, 1.0) for row in rows
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a training's metrics: {error}") from None
    if not epochs:
        raise InputError(f"{path} holds no epoch yet")
    return Curve(text, folder, epochs, accuracies)


def plot(curves: list[Curve]) -> str:
    """The curves as one SVG that stands alone."""
    from nas.report.charts import curves as chart
    from nas.report.pictures import chart_svg

    points = [
        {"training": curve.name, "epoch": epoch, "accuracy": accuracy}
        for curve in curves
        for epoch, accuracy in zip(curve.epochs, curve.accuracies, strict=True)
    ]
    summary = f"Validation accuracy over epochs of {', '.join(curve.name for curve in curves)}"
    return chart_svg(chart(summary), {"curves": points})


def plot_path(out: Path | None) -> Path:
    """Where the plot goes: the .svg file that is given, or one in the folder that is given; a .png goes beside it."""
    if out is None:
        return Path("comparison.svg")
    if out.suffix.lower() in (".svg", ".png"):
        return out.with_suffix(".svg")
    if out.suffix and not out.is_dir():
        raise InputError(f"--out {out}: expected a folder, or a file name that ends in .svg or .png")
    return out / "comparison.svg"
