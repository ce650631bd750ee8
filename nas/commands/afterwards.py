"""What follows a search: baselines to compare with, and full trainings of the best. Kept in run.json for a resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.commands.full_training import FullTraining

AFTERWARDS = ("baselines", "train_best", "train_recipe", "train_epochs")


@dataclass(frozen=True)
class Afterwards:
    """The options of nas-search that are about what comes after the last trial."""

    baselines: str = "auto"
    train_best: int = 0
    train_recipe: str = "sgd-cosine"
    train_epochs: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Afterwards:
        """Read what run.json has; an InputError for what is wrong with it."""
        from candidates import checks

        checks.known_keys("run.json: afterwards", dict(values), AFTERWARDS)
        found = {**asdict(cls()), **values}
        for name in ("baselines", "train_recipe"):
            checks.text(name.replace("_", "-"), found[name])
        after = cls(**found)
        after.check()
        return after

    def check(self) -> None:
        """An InputError for what is wrong, before anything is begun."""
        from candidates import checks
        from nas.baselines import WAYS

        checks.one_of("--baselines", self.baselines, WAYS)
        self.full_training().check()

    def full_training(self) -> FullTraining:
        """The trainings in full."""
        from nas.commands.full_training import FullTraining

        return FullTraining(self.train_best, self.train_recipe, self.train_epochs)
