"""Knowledge distillation (arXiv 1503.02531): a trained network's answers as targets beside the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from candidates.errors import InputError
from candidates.labels import spelled
from candidates.preprocessing import Preprocessing
from nas.trainer.trained import Trained


class Teacher:
    """Answers for the student's inputs: normalised and resized anew where it was trained on others."""

    def __init__(self, model: Trained, student: Preprocessing, classes: Sequence[str]) -> None:
        theirs = model.preprocessing
        if len(theirs.mean) != len(student.mean):
            raise InputError(
                f"the teacher {model.path} takes images of {len(theirs.mean)} channels, the student of "
                f"{len(student.mean)}; expected the same"
            )
        if model.labels is not None and spelled(classes) != model.labels:
            raise InputError(
                f"the teacher {model.path} knows {len(model.labels)} classes ({', '.join(model.labels[:3])}, …), the "
                f"data have {len(classes)} ({', '.join(list(classes)[:3])}, …); expected the same in the same order"
            )
        self._model, self._classes, self._size = model, len(classes), theirs.resolution
        ours, their_std = np.array([student.mean, student.std]), np.array(theirs.std)
        scale, shift = ours[1] / their_std, (ours[0] - np.array(theirs.mean)) / their_std
        self._scale, self._shift = (
            torch.tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in (scale, shift)
        )

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        """Logits, N×classes, for the student's inputs."""
        images = inputs.float() * self._scale.to(inputs.device) + self._shift.to(inputs.device)
        if images.shape[-1] != self._size:
            images = F.interpolate(images, self._size, mode="bilinear", antialias=True)
        logits = torch.from_numpy(self._model.classify(images.cpu().numpy())).to(inputs.device)
        if logits.shape[1] != self._classes:
            raise InputError(
                f"the teacher {self._model.path} gives {logits.shape[1]} classes; the data have {self._classes}"
            )
        return logits


def distilled(loss: Tensor, logits: Tensor, answers: Tensor, weight: float, temperature: float) -> Tensor:
    """The labels' `loss` and, with `weight`, the divergence from the teacher's softened answers.

    The latter is multiplied by the temperature squared, which keeps its gradients' size.
    """
    divergence = F.kl_div(
        F.log_softmax(logits.float() / temperature, 1),
        F.log_softmax(answers.float() / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - weight) * loss + weight * temperature**2 * divergence
