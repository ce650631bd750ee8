"""Where a study lives: in the run's own SQLite file, in a journal, or on a PostgreSQL server that searches share."""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import func, select
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
    SQLAlchemyError,
)

from candidates.errors import InputError, RunError
from candidates.files import expanded
from nas.trial_storage import TrialStorage

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

STUDY_NAME = "search"
HEARTBEAT_SECONDS = 10
GRACE_SECONDS = 60  # without a heartbeat, after which a trial's process counts as dead
AWAY_SECONDS = 300.0  # that a database server may be away (restarted, say) before the search gives up
JOURNAL = "journal:"
_DRIVER = "postgresql+psycopg"
_LOCK = 0x6E6173  # of all advisory locks in a database, ours


@dataclass(frozen=True)
class Place:
    """A database (SQLAlchemy's URL without password, or `journal:PATH`) and the study's name in it.

    `path` is where it is a file.
    """

    url: str
    study: str = STUDY_NAME
    path: Path | None = None

    @property
    def shared(self) -> bool:
        """Whether other searches may work on the same study."""
        return self.path is None

    def __str__(self) -> str:
        return str(self.path) if self.path else f"study {self.study} in {self.url}"


def file_place(path: Path) -> Place:
    """The study in the SQLite file at `path`."""
    from sqlalchemy import URL

    return Place(URL.create("sqlite", database=str(path)).render_as_string(hide_password=False), path=path)


def place_at(storage: str, study: str) -> Place:
    """What `--storage` and `--study` name: a journal file or a PostgreSQL server."""
    if not storage.startswith(JOURNAL):
        return server_place(storage, study)
    path = expanded("--storage", storage.removeprefix(JOURNAL))
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"--storage is {storage!r}; expected {JOURNAL}FILE in a folder that exists")
    return Place(f"{JOURNAL}{path.absolute()}", study, path.absolute())


def server_place(url: str, study: str) -> Place:
    """A study on a PostgreSQL server; a password in the URL goes where libpq looks for it, not into files."""
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    expected = "expected postgresql://USER@HOST/DATABASE or journal:FILE"
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        shown = f"…@{url.rpartition('@')[2]}" if "@" in url else url  # what is before it may hold a password
        raise InputError(f"--storage is {shown!r}; {expected}") from None
    if parts.get_backend_name() != "postgresql" or not parts.database:
        raise InputError(f"--storage is {parts.render_as_string()!r}; {expected}")
    query = dict(parts.query)
    password = query.pop("password", None) or parts.password
    if password:
        os.environ["PGPASSWORD"] = str(password)
    if "sslpassword" in query:
        raise InputError(
            "--storage: a sslpassword has no place in an address that is written down; use a key without"
        )
    plain = URL.create(_DRIVER, parts.username, None, parts.host, parts.port, parts.database, query)
    return Place(plain.render_as_string(hide_password=False), study)


def opened(place: Place) -> BaseStorage:
    """The storage; InputError for what is no Optuna database, RunError where the server is not there."""
    if place.path is None:
        return _server(place)
    return _journal(place.path) if place.url.startswith(JOURNAL) else _file(place.path)


def closed(storage: BaseStorage) -> None:
    """Close the connections, so that a file alone holds everything."""
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage):
        backend.remove_session()
        backend.engine.dispose()


@contextmanager
def alone_with(place: Place) -> Iterator[None]:
    """Hold a journal for one search: it has no signs of life by which others' trials are told from the dead's.

    InputError where another search holds it. A last line that a killed process left unfinished is removed.
    """
    if not place.url.startswith(JOURNAL):
        yield
        return
    from filelock import FileLock, Timeout

    assert place.path is not None, "a journal is a file"
    try:
        with FileLock(f"{place.path}.search", timeout=0):
            _mend(place.path)
            yield
    except Timeout:
        raise InputError(
            f"{place.path} is in use by another search; wait for it, or give both a PostgreSQL server"
        ) from None


@contextmanager
def in_turn(study: Study, place: Place) -> Iterator[None]:
    """Let the searches of one shared study through one after another: what the first writes, the others read."""
    backend = getattr(study._storage, "_backend", study._storage)
    if not place.shared or not isinstance(backend, RDBStorage):
        yield
        return
    with backend.engine.connect() as connection:  # the lock ends with its transaction, and so with its owner
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK, study._study_id)))
        yield


def _journal(path: Path) -> BaseStorage:
    """Optuna's journal at `path`: a line of JSON for each change."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    _check_journal(path)
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} cannot be read as an Optuna journal: {first_line(error)}") from None


def _check_journal(path: Path) -> None:
    """An InputError for a file that is something else: a journal is written to, and its end mended."""
    if not path.exists():
        return
    with path.open("rb") as file:
        first = file.readline(100)
    if first and not first.startswith(b'{"op_code"'):
        raise InputError(
            f"{path} cannot be read as an Optuna journal: it is another kind of file; give a new one"
        )


def _mend(path: Path) -> None:
    if path.exists():
        _check_journal(path)
        with path.open("r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)


def _file(path: Path) -> RDBStorage:
    """SQLite at `path`.

    With a write-ahead log a trial's many small transactions need no wait for the disk each, and a killed
    process still loses none that was finished.
    """
    from sqlalchemy import event

    with closing(sqlite3.connect(path)) as database:  # the log is a property of the file, set once
        database.execute("PRAGMA journal_mode=WAL")
    try:
        storage = TrialStorage(file_place(path).url, engine_kwargs={"connect_args": {"timeout": 60}})
    except RuntimeError as error:  # another Optuna's tables
        raise InputError(f"{path} cannot be read as an Optuna study: {first_line(error)}") from None

    @event.listens_for(storage.engine, "connect")
    def relax(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    storage.engine.dispose()  # connections made before the listener
    return storage


def _server(place: Place) -> RDBStorage:
    """A server's storage: trials have heartbeats, and a server that restarts is waited for."""
    from optuna.exceptions import ExperimentalWarning

    warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
    warnings.filterwarnings("ignore", message="Heartbeat of storage")  # ours are sent by nas.heartbeat

    def storage() -> RDBStorage:
        return SteadyStorage(
            place.url,
            # A lost connection is noticed by what is tried on it, which is then tried again.
            engine_kwargs={"connect_args": {"connect_timeout": 10}},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=enqueue_again,
        )

    try:
        try:
            return storage()
        except (IntegrityError, ProgrammingError):  # another search made the tables at the same moment
            time.sleep(1.0)
            return storage()
    except ImportError:
        raise InputError("--storage needs psycopg; install it by pip install 'mobile-nas[cluster]'") from None
    except RuntimeError as error:
        raise InputError(f"{place} cannot be read as an Optuna study: {first_line(error)}") from None
    except DBAPIError as error:
        raise RunError(f"{place} cannot be reached: {first_line(error.orig or error)}") from None


def enqueue_again(study: Study, trial: FrozenTrial) -> None:
    """Queue the point of a trial whose process died, or the part of it that had been asked for."""
    point = trial.system_attrs.get("fixed_params") or trial.system_attrs.get("nas:proposed") or trial.params
    if point:
        study.enqueue_trial(dict(point), user_attrs={"retry_of": trial.number})


def _steady(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, tried again while the server is away."""

    @wraps(method)
    def tried(self: SteadyStorage, *args: Any, **kwargs: Any) -> Any:
        delay, until, again = 0.1, None, False
        while True:
            try:
                return method(self, *args, **kwargs)
            except UpdateFinishedTrialError:
                if again and method.__name__ == "set_trial_state_values":  # set before the answer was lost
                    return True
                raise
            except (SQLAlchemyError, StorageInternalError) as error:
                until = until or time.monotonic() + AWAY_SECONDS
                if not _is_away(error) or time.monotonic() > until:
                    raise
                self.remove_session()
                time.sleep(delay)
                delay, again = min(2 * delay, 5.0), True

    return tried


def _is_away(error: BaseException) -> bool:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, DBAPIError) and cause.connection_invalidated:
        return True
    return isinstance(cause, OperationalError | InterfaceError | PendingRollbackError)


class SteadyStorage(TrialStorage):
    """Optuna's storage for a server that may be restarted while a search runs."""


# Optuna's cache calls some of its backend's inner methods.
_INNER = {
    "record_heartbeat", "_get_stale_trial_ids", "_get_trials", "_create_new_trial", "_set_trial_param", "_write"
}  # fmt: skip
for _name in sorted(BaseStorage.__abstractmethods__ | _INNER):
    setattr(SteadyStorage, _name, _steady(getattr(TrialStorage, _name)))


@contextmanager
def storage_errors(place: Place, remedy: str = "free some space and try again") -> Iterator[None]:
    """Say in one line what is wrong with the database: InputError for its content, else RunError."""
    try:
        yield
    except (sqlite3.Error, SQLAlchemyError, StorageInternalError) as error:
        wrapped = error.__cause__ if isinstance(error, StorageInternalError) else error
        cause = getattr(wrapped, "orig", None) or wrapped or error
        reason = first_line(cause)
        # A full disk, a lock, a disk that fails are operational; what is no database at all is not.
        if isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, sqlite3.OperationalError):
            raise InputError(f"{place} cannot be read as an Optuna study: {reason}") from None
        raise RunError(f"{place} cannot be used: {reason}; {remedy}") from None


def first_line(error: BaseException) -> str:
    """An exception's type and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
