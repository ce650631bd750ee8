"""What a training shows and writes while it runs: a bar or plain lines, metrics.csv, TensorBoard's events."""

from __future__ import annotations

import csv
import io
import time
from typing import TYPE_CHECKING, Any, TextIO

import torch

from candidates.files import write_text
from nas.progress import percent
from nas.trainer.events import Events, curves
from nas.trainer.folder import METRICS
from nas.words import duration, figures

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from nas.trainer.loop import Training

COLUMNS = (
    "epoch",
    "step",
    "lr",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "validation_top5",
    "images_per_second",
    "ms_per_step",
    "seconds",
)
_EVERY = 50  # updates between two points of TensorBoard's curves


class Monitor:
    """Follows one training in its first process; in the others it says and writes nothing."""

    def __init__(self, stream: TextIO | None, tensorboard: bool = True) -> None:
        self._stream, self._tensorboard = stream, tensorboard and stream is not None
        self._events: Events | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._started = self._images = self._updates = self._planned = 0.0
        self._spent = 0.0

    def note(self, text: str) -> None:
        """Print a sentence."""
        if self._stream is not None:
            print(text, file=self._stream, flush=True)

    def begin(self, training: Training, planned: int) -> None:
        """An epoch begins, or is gone on with."""
        here = training.position
        self._started, self._images, self._updates = time.perf_counter(), 0, 0
        self._planned = planned - here.updates
        if self._stream is not None and self._stream.isatty():
            self._show_bar(here.epoch, training.recipe.epochs, planned, here.updates)

    def update(self, training: Training, images: int) -> None:
        """An update is done."""
        self._images += images
        self._updates += 1
        if self._bar is not None and self._task is not None:
            spent = time.perf_counter() - self._started
            speed = f"{self._images / spent:.0f} images/s  {figures(1000 * spent / self._updates)} ms/step"
            self._bar.update(self._task, advance=1, speed=speed)
        here, events = training.position, self._opened(training)
        if events is not None and here.step % _EVERY == 0 and here.losses:
            rate = training.optimizer.param_groups[0]["lr"]
            events.scalars({"learning rate": rate, "loss/train": here.losses[-1]}, here.step)

    def trained(self) -> None:
        """The epoch's updates are done, or stopped at; validation follows."""
        self._hide_bar()
        self._spent = time.perf_counter() - self._started

    def speed(self) -> dict[str, float]:
        """Images per second, milliseconds for an update and seconds of the epoch's updates; validation is left out."""
        return {
            "images_per_second": round(self._images / self._spent, 2),
            "ms_per_step": round(1000 * self._spent / max(1, self._updates), 3),
            "seconds": round(self._spent, 3),
        }

    def epoch(self, training: Training, history: list[dict[str, Any]]) -> None:
        """An epoch is done and its checkpoint written."""
        if self._stream is None:
            return
        self.table(training)
        row = history[-1]
        left = (training.recipe.epochs - row["epoch"]) * (time.perf_counter() - self._started)
        self.note(
            f"epoch {row['epoch']:>3}/{training.recipe.epochs}  loss {row['train_loss']:.4f}  "
            f"validation {percent(row['validation_accuracy']):>8} (loss {row['validation_loss']:.4f})  "
            f"lr {row['lr']:.3g}  {row['images_per_second']:.0f} images/s  {figures(row['ms_per_step'])} ms/step  "
            f"left {duration(left) if left > 0 else '—'}"
        )
        events = self._opened(training)
        if events is not None:
            events.scalars(curves(row), row["step"])
            events.histograms(training.network, row["step"])

    def table(self, training: Training) -> None:
        """Write metrics.csv: the epochs so far."""
        if self._stream is not None:
            write_text(training.folder.path / METRICS, _csv(training.position.history))

    def first_images(self, training: Training, inputs: torch.Tensor) -> None:
        """Show the network's first inputs, as augmented, in TensorBoard."""
        events = self._opened(training)
        if events is not None:
            events.images("training images", inputs)

    def confusion(self, training: Training, counts: torch.Tensor) -> None:
        """Show how often each class (row) was taken for each (column) in TensorBoard."""
        events = self._opened(training)
        if events is not None:
            events.confusion(counts, training.position.step)

    def close(self) -> None:
        """End what is open."""
        self._hide_bar()
        if self._events is not None:
            self._events.close()

    def _opened(self, training: Training) -> Events | None:
        if self._tensorboard and self._events is None:
            self._events = Events(training.folder.path, training.position.step)
        return self._events

    def _show_bar(self, epoch: int, epochs: int, planned: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn(f"epoch {epoch + 1}/{epochs}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=Console(file=self._stream),
            transient=True,
        )
        self._task = self._bar.add_task("", total=planned, completed=done, speed="")
        self._bar.start()

    def _hide_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _csv(history: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(history)
    return file.getvalue()
