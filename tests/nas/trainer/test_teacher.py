from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from candidates.errors import InputError
from candidates.preprocessing import Preprocessing
from nas.trainer.recipe import Recipe
from nas.trainer.teacher import Teacher, distilled
from nas.trainer.trained import Trained
from tests.nas.trainer.conftest import Kill, Trainer

STUDENT = Preprocessing(4, 4, (0.5,) * 3, (0.25,) * 3)


def model(preprocessing: Preprocessing, labels: tuple[str, ...] | None = None) -> Trained:
    """Answers with the mean of what it is given, for each of three classes."""
    return Trained(
        Path("teacher"), preprocessing, labels, lambda images: images.mean((1, 2, 3))[:, None].repeat(3, 1)
    )


def test_the_teacher_is_given_images_as_it_was_trained_on() -> None:
    theirs = Preprocessing(4, 4, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4), np.uint8)
    answers = Teacher(model(theirs), STUDENT, "abc")(torch.from_numpy(STUDENT.applied(pixels)))
    expected = theirs.applied(pixels).mean((1, 2, 3))
    assert answers[:, 0].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_teacher_of_other_classes_or_channels_is_refused() -> None:
    with pytest.raises(InputError, match=r"knows 2 classes .* the data have 3"):
        Teacher(model(STUDENT, ("a", "b")), STUDENT, "abc")
    with pytest.raises(InputError, match="takes images of 1 channels, the student of 3"):
        Teacher(model(Preprocessing(4, 4, (0.5,), (0.5,))), STUDENT, "abc")


def test_the_distilled_loss() -> None:
    logits, answers = torch.randn(4, 3), torch.randn(4, 3)
    loss = F.cross_entropy(logits, torch.tensor([0, 1, 2, 0]))
    assert distilled(loss, logits, answers, 0.0, 2.0) == loss
    assert float(distilled(loss, answers, answers, 1.0, 2.0)) == pytest.approx(0.0, abs=1e-6)
    soft = [torch.softmax(v / 2, 1) for v in (answers, logits)]
    expected = 0.3 * loss + 0.7 * 4 * (soft[0] * (soft[0] / soft[1]).log()).sum(1).mean()
    assert float(distilled(loss, logits, answers, 0.7, 2.0)) == pytest.approx(float(expected), rel=1e-5)


def test_a_training_with_a_teacher_folds_and_growing_images_resumes_alike(trainer: Trainer) -> None:
    trainer.make("teacher", Recipe(epochs=2, batch=8, lr=0.05))
    trainer.run("teacher")
    recipe = Recipe(epochs=3, batch=8, image_sizes=((1, 8), (2, 12), (3, 16)), dropout=0.2)
    extra = {"teacher": str(trainer.path / "teacher"), "fold": "2/3"}
    for name in ("whole", "killed", "alone"):
        trainer.make(name, recipe, extra={**extra, "teacher": None} if name == "alone" else extra)
    with pytest.raises(KeyboardInterrupt):
        trainer.run("killed", Kill(4))
    for name in ("whole", "killed", "alone"):
        result = trainer.run(name)
        assert result is not None
        assert result["data"]["validation_images"] == 12
        assert result["data"]["validation_split"] == "33% held out of the training images"
    assert trainer.weights("whole") == trainer.weights("killed")
    assert trainer.weights("whole") != trainer.weights("alone")
