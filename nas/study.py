"""The Optuna study of a run: made, opened again, and what was in flight taken up."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from candidates.errors import InputError, RunError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage

    from search_space import FactorizedSpace

STUDY_NAME = "search"
LOST = "lost"  # marks a trial whose process died; its retry takes its place


def storage_of(path: Path) -> RDBStorage:
    """SQLite at `path`.

    With a write-ahead log a trial's many small transactions need no wait for the disk each, and a killed
    process still loses none that was finished.
    """
    from optuna.storages import RDBStorage
    from sqlalchemy import URL, event

    url = URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    with closing(sqlite3.connect(path)) as database:  # the log is a property of the file, set once
        database.execute("PRAGMA journal_mode=WAL")
    try:
        storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
    except RuntimeError as error:  # another Optuna's tables
        raise InputError(f"{path} cannot be read as an Optuna study: {first_line(error)}") from None

    @event.listens_for(storage.engine, "connect")
    def relax(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    storage.engine.dispose()  # connections made before the listener
    return storage


def close(study: Study) -> None:
    """Close the database, so that its file alone holds everything."""
    from optuna.storages import RDBStorage

    backend = getattr(study._storage, "_backend", study._storage)
    if isinstance(backend, RDBStorage):
        backend.remove_session()
        backend.engine.dispose()


def open_study(path: Path, sampler: BaseSampler | None, objective: str, create: bool) -> Study:
    """The one study in the database at `path`; with `create` it is made where it is not there yet."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not create and not path.is_file():
        raise InputError(f"{path} does not exist: the run has no study")
    pareto = objective == "pareto"
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # metric names
    if not create:
        with storage_errors(path):
            return _opened(path, sampler)
    with storage_errors(path, how_to_go_on(path.parent)):
        study = optuna.create_study(
            storage=storage_of(path),
            study_name=STUDY_NAME,
            sampler=sampler,
            directions=["maximize", "minimize"] if pareto else ["maximize"],
            load_if_exists=True,
        )
        if study.metric_names is None:
            study.set_metric_names(["accuracy", "latency_ms"] if pareto else ["reward"])
    return study


def _opened(path: Path, sampler: BaseSampler | None) -> Study:
    import optuna

    try:
        return optuna.load_study(storage=storage_of(path), study_name=STUDY_NAME, sampler=sampler)
    except KeyError:
        raise InputError(f"{path} holds no study called {STUDY_NAME}; expected a search's study.db") from None


@contextmanager
def storage_errors(path: Path, remedy: str = "free some space and try again") -> Iterator[None]:
    """Say in one line what is wrong with the database at `path`: InputError for its content, else RunError."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (sqlite3.Error, SQLAlchemyError, StorageInternalError) as error:
        wrapped = error.__cause__ if isinstance(error, StorageInternalError) else error
        cause = getattr(wrapped, "orig", None) or wrapped or error
        reason = first_line(cause)
        # A full disk, a lock, a disk that fails are operational; what is no database at all is not.
        if isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, sqlite3.OperationalError):
            raise InputError(f"{path} cannot be read as an Optuna study: {reason}") from None
        raise RunError(f"{path} cannot be used: {reason}; {remedy}") from None


def take_up_lost(study: Study, space: FactorizedSpace) -> int:
    """Fail the trials that a dead process left running and queue their points again; return how many."""
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


def first_line(error: BaseException) -> str:
    """An exception's type and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
