"""The Optuna study of a run: made, opened again, and what was in flight taken up."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from candidates.errors import InputError
from nas.storage import Place, closed, opened, storage_errors
from nas.trial_storage import cached

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler

    from search_space import FactorizedSpace

LOST = "lost"  # marks a trial whose process died; its retry takes its place


def open_study(place: Place, sampler: BaseSampler | None, objective: str, create: bool) -> Study:
    """The study at `place`; with `create` it is made where it is not there yet."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not create and place.path is not None and not place.path.is_file():
        raise InputError(f"{place.path} does not exist: the run has no study")
    pareto = objective == "pareto"
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # metric names
    if not create:
        with storage_errors(place):
            return _opened(place, sampler)
    with storage_errors(place, how_to_go_on(place.path.parent) if place.path else "start the server again"):
        study = optuna.create_study(
            storage=cached(opened(place)),
            study_name=place.study,
            sampler=sampler,
            directions=["maximize", "minimize"] if pareto else ["maximize"],
            load_if_exists=True,
        )
        if study.metric_names is None:
            study.set_metric_names(["accuracy", "latency_ms"] if pareto else ["reward"])
    return study


def _opened(place: Place, sampler: BaseSampler | None) -> Study:
    import optuna

    try:
        return optuna.load_study(storage=cached(opened(place)), study_name=place.study, sampler=sampler)
    except KeyError:
        where = place.path or place.url
        raise InputError(f"{where} holds no study called {place.study}; expected a search's study") from None


def close(study: Study) -> None:
    """Close the database, so that its file alone holds everything."""
    closed(study._storage)


def take_up_lost(study: Study, space: FactorizedSpace) -> int:
    """Fail the trials that a dead process left running and queue their points again; return how many.

    For a study that this process alone works on.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    waiting = {t.user_attrs.get("retry_of") for t in trials if t.state == TrialState.WAITING}
    names = {choice.name for choice in space.choices}
    lost = [trial for trial in trials if trial.state == TrialState.RUNNING]
    for trial in lost:
        params: dict[str, Any] = trial.system_attrs.get("fixed_params") or trial.params
        # A trial that died before its point was complete is drawn anew, and comes out the same.
        if set(params) == names and trial.number not in waiting:
            study.enqueue_trial(params, user_attrs={"retry_of": trial.number})
        study._storage.set_trial_user_attr(trial._trial_id, LOST, True)
        study.tell(trial.number, state=TrialState.FAIL)
    return len(lost)


def how_to_go_on(run: Path) -> str:
    """What to do where the disk of a run's folder is full."""
    return f"the finished trials are kept: make room and go on with nas-search --resume {run}"
