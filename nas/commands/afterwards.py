"""What follows a search: baselines to compare with, and full trainings of the best. Kept in run.json for a resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from candidates.errors import InputError
from candidates.files import expanded

if TYPE_CHECKING:
    from nas.commands.full_training import FullTraining


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

        defaults = asdict(cls())
        checks.known_keys("run.json: afterwards", dict(values), list(defaults))
        found = {**defaults, **values}
        for name in ("baselines", "train_recipe"):
            checks.text(name.replace("_", "-"), found[name])
        after = cls(**found)
        try:
            after.check()
        except InputError as error:
            raise InputError(
                f"what is to follow the search, which run.json keeps: {error}; give it anew"
            ) from None
        return after

    @classmethod
    def asked(
        cls, baselines: str, train_best: int, train_recipe: str, train_epochs: int | None
    ) -> Afterwards:
        """As the options say; a recipe's file by its absolute path, since a resume may be in another folder."""
        from nas.trainer import recipe as recipes

        file = expanded("recipe", train_recipe)
        if train_recipe not in recipes.names() and file.is_file():  # a slip stays as it was typed
            train_recipe = str(file.absolute())
        return cls(baselines, train_best, train_recipe, train_epochs)

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
