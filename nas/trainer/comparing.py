"""Several trainings side by side: a table, and their validation accuracies over epochs in one plot."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from candidates import checks
from candidates.errors import InputError
from candidates.files import read_text
from nas.report.axes import LEFT, TOP, frame, titled, x_axis, y_axis
from nas.report.plots import percent_tick
from nas.trainer.folder import METRICS, TrainingFolder, open_training

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.grid{stroke:#ddd}polyline{fill:none;stroke-width:2}"
    "svg{background:#fff}"
)


@dataclass(frozen=True)
class Curve:
    """A training with its epochs and their validation accuracies."""

    folder: TrainingFolder
    epochs: tuple[float, ...]
    accuracies: tuple[float, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.path.name

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


def read_curve(text: str) -> Curve:
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
    return Curve(folder, epochs, accuracies)


def plot(curves: list[Curve]) -> str:
    """The curves as one SVG that stands alone."""
    x = x_axis([value for curve in curves for value in curve.epochs])
    y = y_axis([value for curve in curves for value in curve.accuracies])
    parts = []
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        points = list(zip(curve.epochs, curve.accuracies, strict=True))
        line = " ".join(f"{x(epoch):.1f},{y(accuracy):.1f}" for epoch, accuracy in points)
        parts.append(f'<polyline points="{line}" stroke="{colour}"/>')
        parts += [
            titled(
                f'<circle cx="{x(epoch):.1f}" cy="{y(accuracy):.1f}" r="2.5" fill="{colour}"',
                f"{curve.name}, epoch {epoch:g}: {100 * accuracy:.2f} %",
            )
            for epoch, accuracy in points
        ]
        top = TOP + 16 * (number + 1)
        parts.append(f'<rect x="{LEFT + 8}" y="{top - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 24}" y="{top}">{escape(curve.name)}</text>')
    summary = f"Validation accuracy over epochs of {', '.join(curve.name for curve in curves)}"
    drawn = frame(x, y, "epoch", "validation accuracy", percent_tick, "\n".join(parts), summary)
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        ">", f"><style>{_STYLE}</style>", 1
    )


def plot_path(out: Path | None) -> Path:
    """Where the plot goes: the .svg file that is given, or one in the folder that is given."""
    if out is None:
        return Path("comparison.svg")
    return out if out.suffix == ".svg" else out / "comparison.svg"
