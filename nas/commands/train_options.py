"""What nas-train is asked for, checked: the recipe, the machine, and that nothing is passed over in silence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from candidates import checks
from candidates.errors import InputError

if TYPE_CHECKING:
    from nas.trainer.recipe import Recipe
    from nas.trainer.session import Options


@dataclass(frozen=True)
class Wanted:
    """What a new training is asked to be."""

    given: list[str]
    data: str | None
    recipe: str
    settings: list[str]
    epochs: int | None
    global_batch: int | None
    resolution: int | None
    width: float
    seed: int
    out: Path | None
    init_from: str | None
    init_weights: str
    fake_data: bool
    teacher: str | None = None
    fold: str | None = None
    head: int | None = None


@dataclass(frozen=True)
class Machine:
    """How it is to run here."""

    device: str
    workers: int | None
    checkpoint_steps: int | None

    def options(self) -> Options:
        """Checked, with the defaults of this machine."""
        from latency.machine import cores
        from nas.trainer.devices import NAMES
        from nas.trainer.session import Options

        checks.one_of("--device", self.device, NAMES)
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        workers = self.workers
        if workers is None:
            workers = max(1, min(16, cores() // local))
        checks.integer("--workers", workers, 0, 1024)
        if self.checkpoint_steps is not None:
            checks.integer("--checkpoint-steps", self.checkpoint_steps)
        return Options(self.device, workers, checkpoint_steps=self.checkpoint_steps)


def only_mode(**modes: bool) -> str | None:
    """The one of these that is asked for, if any."""
    asked = [name for name, on in modes.items() if on]
    if len(asked) > 1:
        raise InputError(f"--{' and --'.join(asked)} exclude each other; give one of them")
    return asked[0] if asked else None


def check_options(mode: str | None, given: set[str]) -> None:
    """Nothing that is given is passed over in silence; `mode` is the option that says what to do."""
    if mode is None:
        wrong = given & {"split", "watch"}
        reason = "is for --evaluate"
    else:
        wrong = given - _MEANT[mode] - {mode, "as_json"}
        reason = f"has no meaning with --{mode}"
        if mode == "resume":
            reason = (
                "cannot be changed: a resumed training keeps its candidate, data, recipe and folder; give --resume "
                "alone, or start a new training with --init-from"
            )
    if wrong:
        name = min(wrong)
        shown = "CANDIDATE" if name == "candidate" else f"--{_WORDS.get(name, name.replace('_', '-'))}"
        raise InputError(f"{shown} {reason}")


_MACHINE = {"device", "workers"}
_MEANT = {
    "resume": _MACHINE | {"checkpoint_steps"},
    "evaluate": _MACHINE | {"candidate", "data", "split", "watch"},
    "predict": {"candidate"},
    "compare": {"candidate", "out"},
    "show": {"candidate", "recipe", "settings", "epochs", "global_batch"},
}
_WORDS = {"settings": "set"}


def resolved_recipe(wanted: Wanted) -> Recipe:
    """The recipe with what the command line changes."""
    from nas.trainer import recipe as recipes

    recipe = recipes.load(wanted.recipe)
    if wanted.epochs is not None:
        recipe = recipes.shortened(recipe, checks.integer("--epochs", wanted.epochs, 1, 1_000_000))
    if wanted.global_batch is not None:
        batch = checks.integer("--global-batch", wanted.global_batch, 2, 1_000_000)
        recipe = recipe.with_values({"batch": batch})
    return recipes.overridden(recipe, wanted.settings)
