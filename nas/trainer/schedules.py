"""Learning rates over a training: what the recipe's peak is multiplied by."""

from __future__ import annotations

import math
from collections.abc import Callable

from nas.trainer.recipe import Recipe, Table
from nas.training import one_cycle

Factor = Callable[[Recipe, float], float]
"""From the recipe and the epochs done so far (a fraction within an epoch) to the factor."""


def learning_rate(recipe: Recipe, epochs_done: float, plateau_factor: float = 1.0) -> float:
    """The learning rate at a point of the training: the warm-up, then the schedule.

    The warm-up is linear up to the peak. An exponential staircase is counted from epoch 0, as the reference
    does; a cosine starts after the warm-up.
    """
    peak = recipe.peak_lr
    if epochs_done < recipe.warmup_epochs:
        return peak * epochs_done / recipe.warmup_epochs
    if recipe.schedule == "table":
        assert recipe.lr_table is not None  # the recipe has checked it
        scale = peak / recipe.lr
        return max(recipe.min_lr, at_epoch(recipe.lr_table, epochs_done) * scale)
    factor = (
        plateau_factor if recipe.schedule == "plateau" else _FACTORS[recipe.schedule](recipe, epochs_done)
    )
    return max(recipe.min_lr, peak * factor)


def weight_decay(recipe: Recipe, epochs_done: float) -> float:
    """The weight decay at a point of the training."""
    table = recipe.weight_decay_table
    return recipe.weight_decay if table is None else at_epoch(table, epochs_done)


def at_epoch(table: Table, epochs_done: float) -> float:
    """A table's value: its epochs are counted from 1."""
    return [value for epoch, value in table if epoch <= math.floor(epochs_done) + 1][-1]


def _constant(recipe: Recipe, done: float) -> float:
    return 1.0


def _exponential(recipe: Recipe, done: float) -> float:
    """× `decay_factor` every `decay_epochs`, at once or little by little."""
    # A hair more, so that 2.4 × 5 epochs counts as 5 periods in floating point.
    periods = done / recipe.decay_epochs
    return recipe.decay_factor ** (math.floor(periods + 1e-9) if recipe.staircase else periods)


def _cosine(recipe: Recipe, done: float) -> float:
    """From 1 after the warm-up down to `min_lr` (SGDR without restarts, arXiv 1608.03983)."""
    progress = (done - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1e-12)
    least = recipe.min_lr / recipe.peak_lr
    return least + (1 - least) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def _one_cycle(recipe: Recipe, done: float) -> float:
    """Up over the first `rise` of the training, then down to nearly 0 (arXiv 1708.07120)."""
    return one_cycle(done / recipe.epochs, recipe.rise)


def _linear(recipe: Recipe, done: float) -> float:
    """Down by the same amount each epoch, to 0 after the last: epoch e (from 0) has 1 − e / epochs."""
    epoch = math.floor(done) if recipe.staircase else done
    return 1 - epoch / recipe.epochs


def _cyclical(recipe: Recipe, done: float) -> float:
    """Up and down between 1/10 and 1 every `cycle_epochs` (triangular, arXiv 1506.01186)."""
    phase = (done - recipe.warmup_epochs) / recipe.cycle_epochs % 1.0
    return 0.1 + 0.9 * (1 - abs(2 * phase - 1))


_FACTORS: dict[str, Factor] = {
    "constant": _constant,
    "exponential": _exponential,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "linear": _linear,
    "cyclical": _cyclical,
}


class Plateau:
    """Lowers the learning rate when the validation loss has not fallen for `patience` epochs."""

    def __init__(self, factor: float, patience: int) -> None:
        self._by, self._patience = factor, patience
        self.factor, self.best, self.waited = 1.0, math.inf, 0

    def see(self, loss: float) -> None:
        """Take the validation loss after an epoch."""
        if loss < self.best * (1 - 1e-4):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self._patience:
            self.factor, self.waited = self.factor * self._by, 0

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"factor": self.factor, "best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from what `state` gave."""
        self.factor, self.best, self.waited = state["factor"], state["best"], int(state["waited"])
