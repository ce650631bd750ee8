"""The training loop: epochs of updates, each epoch validated, all of it resumable at any update."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from candidates.errors import RunError
from nas.trainer import checkpoints, draws, mixing, schedules
from nas.trainer.augment import Augmenter
from nas.trainer.data import TrainingData
from nas.trainer.ema import Average
from nas.trainer.folder import TrainingFolder
from nas.trainer.loading import Batch, Batches
from nas.trainer.lookout import Lookout
from nas.trainer.optimizers import set_rates
from nas.trainer.order import epoch_order, updates
from nas.trainer.recipe import Recipe
from nas.trainer.scoring import Score, score
from nas.trainer.teacher import Teacher, distilled
from nas.training import average_statistics

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from nas.trainer.monitor import Monitor

_CHECK_EVERY = 50  # updates on a GPU, between which nothing waits for it
_EXPLODED = 1000.0  # times the loss of a guess: no single loss is as high
_HIGH, _IN_A_ROW = 20.0, 20  # times the loss of a guess, and updates after which it does not come back
_STATISTICS = 16  # batches that batch normalisation's statistics are estimated from


@dataclass
class Position:
    """Where a training is, and what it found so far; `updates` and `losses` are of the epoch in progress."""

    step: int = 0
    epoch: int = 0
    updates: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[int, float] = field(default_factory=dict)


@dataclass
class Training:
    """A training's parts. `model` is `network` as Fabric runs it: in its precision, on all processes."""

    fabric: Fabric
    folder: TrainingFolder
    recipe: Recipe
    data: TrainingData
    network: nn.Module
    model: Any
    optimizer: Optimizer
    stepper: Any
    average: Average | None
    plateau: schedules.Plateau
    augment: Augmenter
    train_batches: Batches
    held_batches: Batches
    monitor: Monitor
    teacher: Teacher | None = None
    checkpoint_steps: int | None = None
    checkpoint_seconds: float = 600.0
    position: Position = field(default_factory=Position)
    unreadable: set[str] = field(default_factory=set)

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and shipped: the average where there is one."""
        return self.network if self.average is None else self.average.network

    def state(self) -> dict[str, Any]:
        """All that a checkpoint keeps."""
        here = self.position
        return {
            "id": self.folder.architecture.id,
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "position": dict(vars(here)),
            "unreadable": sorted(self.unreadable),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.restore(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.plateau.restore(state["plateau"])
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        self.position = Position(**state["position"])
        self.unreadable = set(state["unreadable"])

    def save(self) -> None:
        """Write a checkpoint; the best ones and this one stay."""
        if self.fabric.is_global_zero:
            checkpoints.save(self.folder.path, self.position.step, self.state(), set(self.position.best))
        self.fabric.barrier()


def fit(training: Training, stop: Callable[[], bool] = lambda: False) -> bool:
    """Train to the end of the recipe; return whether it was reached, or `stop` asked to end before."""
    here, recipe = training.position, training.recipe
    lookout = Lookout(training.fabric, stop, training.checkpoint_seconds)
    while here.epoch < recipe.epochs:
        if not run_epoch(training, lookout):
            training.save()
            return False
        found = validate(training)
        training.plateau.see(found.loss)
        here.history.append(_row(training, found))
        here.epoch, here.updates, here.losses = here.epoch + 1, 0, []
        _keep_best(here, found, recipe.keep_best)
        training.save()
        lookout.saved()
        training.monitor.epoch(training, here.history)
    return True


def run_epoch(training: Training, lookout: Lookout) -> bool:
    """The rest of the epoch that the position is in; return whether it is to be validated: nobody asked to stop."""
    fabric, recipe, here, data = training.fabric, training.recipe, training.position, training.data
    labels = data.train_labels
    order = epoch_order(labels, training.folder.seed, here.epoch, recipe.epoch_fraction, recipe.balanced)
    whole = updates(order, recipe.batch, 0, fabric.global_rank, fabric.world_size, recipe.accumulate)
    plan = whole[here.updates :]
    batches = training.train_batches.epoch(here.epoch, [micro for update in plan for micro in update])
    training.network.train()
    training.monitor.begin(training, len(whole))
    pending: list[Tensor] = []
    for micros in plan:
        _set_rates(training, len(whole))
        pending.append(update(training, [next(batches) for _ in micros]))
        here.step, here.updates = here.step + 1, here.updates + 1
        training.monitor.update(training, len(micros) * len(micros[0]) * fabric.world_size)
        asked, due = lookout.after_update()
        if training.checkpoint_steps is not None:
            due = here.step % training.checkpoint_steps == 0
        last = here.updates == len(whole)
        if fabric.device.type == "cpu" or len(pending) >= _CHECK_EVERY or asked or due or last:
            _check(training, pending)
            pending = []
        if asked:
            training.monitor.trained()
            return False
        if due and not last:  # after the last one the epoch's own follows
            training.save()
            lookout.saved()
    training.monitor.trained()
    return True


def update(training: Training, batches: list[Batch]) -> Tensor:
    """One update of the weights from the gradients of `batches`; returns their mean loss."""
    fabric, recipe, here = training.fabric, training.recipe, training.position
    # Dropout and stochastic depth draw from the global generator: a function of seed, step and process.
    torch.manual_seed(draws.key(training.folder.seed, here.step, f"network {fabric.global_rank}") >> 1)
    total = torch.zeros((), device=fabric.device)
    for number, batch in enumerate(batches, start=1):
        if batch.unreadable:
            _leave_out(training, batch.unreadable)
        augmented = training.augment(batch, here.epoch)
        if here.step == 0:
            training.monitor.first_images(training, augmented)
        inputs, targets = mixing.mixed(
            augmented,
            batch.labels,
            batch.indices,
            training.folder.seed,
            here.epoch,
            recipe.mixup,
            recipe.cutmix,
        )
        with _sync(training, last=number == len(batches)):
            logits = training.model(inputs)
            loss = mixing.loss(logits, targets, recipe.label_smoothing)
            if training.teacher is not None:
                answers = training.teacher(inputs)
                loss = distilled(loss, logits, answers, recipe.teacher_weight, recipe.teacher_temperature)
            loss = loss / len(batches)
            fabric.backward(loss)
        total += loss.detach()
    if recipe.clip_norm is not None:
        fabric.clip_gradients(training.model, training.stepper, max_norm=recipe.clip_norm)
    training.stepper.step()
    training.optimizer.zero_grad(set_to_none=True)
    if training.average is not None:
        training.average.update()
    return total


def validate(training: Training) -> Score:
    """Score the network that would be shipped on the held-out images."""
    if training.recipe.bn_reestimate:
        _reestimate(training)
    return score_split(training, training.held_batches)


def score_split(training: Training, batches: Batches, confusion: Tensor | None = None) -> Score:
    """Score on any images, all processes sharing them."""
    fabric = training.fabric
    if fabric.world_size > 1:  # each process has batch statistics of its own; the first one's are saved
        for tensor in training.evaluated.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
    return score(
        training.evaluated,
        batches,
        lambda pixels: training.augment.normalise(pixels, training.recipe.channels_last),
        fabric.global_rank,
        fabric.world_size,
        lambda sums: summed(fabric, sums),
        confusion,
    )


def summed(fabric: Fabric, sums: Tensor) -> Tensor:
    """The sum over all processes."""
    total: Tensor = fabric.all_reduce(sums, reduce_op="sum")  # type: ignore[assignment]
    return total


def _reestimate(training: Training) -> None:
    size = min(training.recipe.batch, len(training.data.train))
    order = epoch_order(training.data.train_labels, 0, 0)
    plan = [order[at : at + size] for at in range(0, len(order) - size + 1, size)][:_STATISTICS]
    batches = training.train_batches.epoch(0, plan)
    normalise = training.augment.normalise
    average_statistics(training.evaluated, (normalise(batch.pixels) for batch in batches))


def _sync(training: Training, last: bool) -> AbstractContextManager[Any]:
    """Processes exchange their gradients once for each update."""
    if training.fabric.world_size == 1:
        return nullcontext()
    return training.fabric.no_backward_sync(training.model, enabled=not last)


def _set_rates(training: Training, updates_each: int) -> None:
    here = training.position
    done = here.epoch + here.updates / updates_each
    recipe = training.recipe
    if recipe.warmup_epochs * updates_each <= 1:  # its only update would be one at a rate of 0
        recipe = replace(recipe, warmup_epochs=0.0)
    lr = schedules.learning_rate(recipe, done, training.plateau.factor)
    set_rates(training.optimizer, lr, schedules.weight_decay(recipe, done))


def _check(training: Training, pending: list[Tensor]) -> None:
    """Take in losses of updates; a RunError where one is not a number, or where they exploded."""
    here = training.position
    guess = math.log(len(training.data.classes))
    for number, value in enumerate([float(loss) for loss in pending], start=1):
        here.losses.append(value)
        recent = here.losses[-_IN_A_ROW:]
        stays = len(recent) == _IN_A_ROW and min(recent) > _HIGH * guess
        if not value <= _EXPLODED * guess or stays:
            step = here.step - len(pending) + number
            good = list(checkpoints.checkpoint_paths(training.folder.path).values())
            where = f"the last good checkpoint is {good[-1]}" if good else "there is no checkpoint before it"
            raise RunError(
                f"the training diverged at step {step} (epoch {here.epoch + 1}): its loss is {value:.3g}; {where}; "
                "train again with a smaller lr, a longer warmup_epochs or a clip_norm (--set)"
            )


def _leave_out(training: Training, names: Sequence[str]) -> None:
    """Note images that could not be read; a RunError as soon as they are too many, not at the end."""
    training.unreadable.update(names)
    source, count = training.data.source, len(training.unreadable)
    if count > max(1.0, source.unreadable_allowed * len(training.data.train)):
        raise RunError(
            f"{source.name}: {count} images cannot be read, more than {source.unreadable_allowed:.0%} of those to "
            f"train on; one is {min(training.unreadable)}"
        )


def _keep_best(here: Position, found: Score, count: int) -> None:
    scored = {**here.best, here.step: found.top1}
    best = sorted(scored, key=lambda step: (-scored[step], step))[:count]
    here.best = {step: scored[step] for step in sorted(best)}


def _row(training: Training, found: Score) -> dict[str, Any]:
    """A line of metrics.csv."""
    here = training.position
    return {
        "epoch": here.epoch + 1,
        "step": here.step,
        "lr": training.optimizer.param_groups[0]["lr"],
        "train_loss": sum(here.losses) / max(1, len(here.losses)),
        "validation_loss": found.loss,
        "validation_accuracy": found.top1,
        "validation_top5": found.top5,
        **training.monitor.speed(),
    }
