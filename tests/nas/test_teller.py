from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import Trial, TrialState

from nas.evaluation import Evaluation
from nas.settings import SearchSettings
from nas.teller import Teller


class Signs:
    """Signs of life of a shared study, and what was said."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.said: list[str] = []

    def end(self, trial_id: int) -> None:
        self.ended.append(trial_id)

    def note(self, text: str) -> None:
        self.said.append(text)


FOUND = Evaluation(1.0, {}, 0.5, 0.7)
KNOWN: Any = SimpleNamespace(number=7, latency_ms=1.0, measurement={}, accuracy=0.5, loss=0.7)
TELLINGS: dict[str, Callable[[Teller, Trial], None]] = {
    "measured": lambda teller, trial: teller.measured(trial, FOUND),
    "evaluated": lambda teller, trial: teller.evaluated(trial, FOUND, {}),
    "again": lambda teller, trial: teller.again(trial, KNOWN),
    "pruned": lambda teller, trial: teller.pruned(trial, over_limit="too large"),
    "failed": lambda teller, trial: teller.failed(trial, "the worker's process died"),
}


@pytest.mark.parametrize("what", TELLINGS)
@pytest.mark.parametrize("shared", [True, False])
def test_a_trial_that_others_gave_up_for_dead_is_theirs(what: str, shared: bool) -> None:
    study, signs = optuna.create_study(direction="maximize"), Signs()
    heartbeat = signs if shared else None
    teller = Teller(study, SearchSettings(1.0), signs, heartbeat)  # type: ignore[arg-type]
    trial = study.ask()
    study.tell(trial.number, state=TrialState.FAIL)
    if not shared:  # then nobody else can have told it, and something is wrong
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
            TELLINGS[what](teller, trial)
        return
    TELLINGS[what](teller, trial)
    assert "trial 0 was taken for dead" in signs.said[0]
    assert signs.ended == [0]
    assert study.trials[0].state.name == "FAIL"
