"""A training as TensorBoard shows it: curves, histograms of weights, images, the confusion matrix."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from torch import Tensor, nn

from candidates.errors import RunError

FOLDER = "tensorboard"
_IMAGES = 64  # of a batch, in the grid


class Events:
    """Writes a training's event files; a RunError where they cannot be written.

    What a killed training wrote after `step`, its last checkpoint, is purged.
    """

    def __init__(self, training: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._training = training
        self._usual_hook, threading.excepthook = threading.excepthook, _hook
        with self._writing():
            self._writer = SummaryWriter(str(training / FOLDER), purge_step=step + 1)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add a point to each of these curves."""
        with self._writing():
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def histograms(self, network: nn.Module, step: int) -> None:
        """Add the distribution of each layer's weights."""
        with self._writing():
            for name, weights in network.named_parameters():
                if weights.ndim > 1:
                    self._writer.add_histogram(name, weights.detach().float().cpu(), step)

    def images(self, name: str, inputs: Tensor) -> None:
        """Show the first of N×C×H×W network inputs in a grid, each stretched to its own range."""
        images = inputs[:_IMAGES].float().cpu()
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
        with self._writing():
            self._writer.add_images(name, (images - low) / (high - low).clamp(min=1e-6), 0)

    def confusion(self, counts: Tensor, step: int) -> None:
        """Show how often each class (row) was taken for each (column), rows scaled to 1."""
        shares = (counts / counts.sum(1, keepdim=True).clamp(min=1)).float()
        scale = max(1, 256 // len(counts))
        image = shares.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
        with self._writing():
            self._writer.add_image("confusion matrix", image[None], step)

    def close(self) -> None:
        """Write what is left; where that fails, the curves lack their end and nothing else is lost."""
        with suppress(OSError):
            self._writer.close()
        threading.excepthook = self._usual_hook

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{self._training / FOLDER} cannot be written to: {error.strerror or error}; free some space, then "
                f"go on with: nas-train --resume {self._training}"
            ) from None


def _hook(args: threading.ExceptHookArgs) -> None:
    """TensorBoard's writing thread keeps its error for the next call, and would print a traceback besides."""
    if not (isinstance(args.exc_value, OSError) and type(args.thread).__name__ == "_AsyncWriterThread"):
        threading.__excepthook__(args)


def curves(row: Mapping[str, float]) -> dict[str, float]:
    """An epoch's line of metrics.csv as TensorBoard's curves."""
    return {
        "loss/train, mean of the epoch": row["train_loss"],
        "loss/validation": row["validation_loss"],
        "accuracy/validation": row["validation_accuracy"],
        "accuracy/validation, top-5": row["validation_top5"],
        "learning rate": row["lr"],
        "images per second": row["images_per_second"],
    }
