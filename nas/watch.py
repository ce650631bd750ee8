"""Watching a training epoch by epoch, and ending it where its rivals show that it is hopeless."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from nas.samplers.halting import CURVE, Rule, should_stop
from nas.settings import SearchSettings
from nas.storage import Place
from nas.targets import latencies_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


class Watch:
    """Told a trial's accuracies after each epoch, keeps them with the study and says whether to stop.

    Sent to another process it opens the study's database there.
    """

    def __init__(
        self,
        study: Study,
        database: Place,
        trial: tuple[int, int],
        rule: Rule | None,
        settings: SearchSettings,
    ) -> None:
        self._study: Study | None = study
        self._database, self._rule, self._settings = database, rule, settings
        self._number, self._id = trial

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_study": None}

    def __call__(self, curve: Sequence[float]) -> bool:
        study = self._study or _opened(self._database, self._settings.objective)
        study._storage.set_trial_user_attr(self._id, CURVE, list(curve))
        if self._rule is None:
            return False
        trials = study.get_trials(deepcopy=False)
        weigh = None if self._settings.objective == "pareto" else self._weigh
        return should_stop(self._rule, trials[self._number], curve, trials, weigh)

    def _weigh(self, trial: FrozenTrial) -> float:
        """What a trial's accuracy is multiplied by for its reward."""
        attrs = trial.user_attrs
        return self._settings.targets.reward(1.0, latencies_of(attrs["latency_ms"], attrs["measurement"]))


@cache
def _opened(database: Place, objective: str) -> Study:
    from nas.study import open_study

    return open_study(database, None, objective, create=False)
