"""Optuna's storage for a search with very many trials: few transactions, and nothing read twice.

Optuna writes every parameter and attribute of a trial in a transaction of its own, some sixty of them for a
trial of 42 choices, and reads every trial in flight again whenever it looks at the study.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from optuna import Study

_NO_TRIAL = 2**31 - 1  # an id that no trial exceeds: PostgreSQL has 32 bits for it
_TRIALS: Any = models.TrialModel.__table__
_USER, _SYSTEM = models.TrialUserAttributeModel, models.TrialSystemAttributeModel


@dataclass
class Held:
    """What is to be written, by table and key; a later value takes an earlier one's place."""

    params: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    attributes: dict[type, dict[tuple[int, str], dict[str, Any]]] = field(
        default_factory=lambda: {_USER: {}, _SYSTEM: {}}
    )

    def trials(self) -> list[int]:
        """The ids of the trials that something is to be written of."""
        parts = (self.params, *self.attributes.values())
        return sorted({trial_id for part in parts for trial_id, _ in part})


class TrialStorage(RDBStorage):
    """RDBStorage that remembers the trials that it has in flight, and can write what is set `together` at once.

    Another process may still end such a trial: its state is looked up whenever the study is read.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flying: dict[int, FrozenTrial] = {}
        self._ended: dict[int, FrozenTrial] = {}  # since all trials were last read
        self._own = threading.local()  # others' threads write by themselves: a watch of a training, say

    @property
    def _held(self) -> Held | None:
        found: Held | None = getattr(self._own, "held", None)
        return found

    @_held.setter
    def _held(self, held: Held | None) -> None:
        self._own.held = held

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is set of our trials in flight during the block is written at its end, in one transaction."""
        if self._held is not None:
            yield
            return
        self._held = Held()
        try:
            yield
        finally:
            held, self._held = self._held, None
            self._write(held)

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        trial = super()._create_new_trial(study_id, template_trial)
        if trial.state == TrialState.RUNNING:
            self._flying[trial._trial_id] = trial
        return trial

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        if self._held is not None:
            held, self._held = self._held, Held()
            self._write(held)
        done = super().set_trial_state_values(trial_id, state, values)
        ours = self._flying.pop(trial_id, None)
        if ours is not None and state.is_finished():
            self._ended[trial_id] = self._as_ended(ours, state, values)
        if done and state == TrialState.RUNNING:  # it had waited, and is ours now
            self._flying[trial_id] = super().get_trial(trial_id)
        return done

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        if self._held is None or trial_id not in self._flying or previous_distribution is None:
            super()._set_trial_param(
                trial_id, param_name, param_value_internal, distribution, previous_distribution
            )
        else:
            check_distribution_compatibility(previous_distribution, distribution)
            self._held.params[trial_id, param_name] = {
                "trial_id": trial_id,
                "param_name": param_name,
                "param_value": param_value_internal,
                "distribution_json": distribution_to_json(distribution),
            }
        value = distribution.to_external_repr(param_value_internal)
        self._remember(trial_id, "_params", param_name, value)
        self._remember(trial_id, "_distributions", param_name, distribution)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        if not self._hold(_USER, trial_id, key, value):
            super().set_trial_user_attr(trial_id, key, value)
        self._remember(trial_id, "_user_attrs", key, json.loads(json.dumps(value)))  # as it will be read back

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if not self._hold(_SYSTEM, trial_id, key, value):
            super().set_trial_system_attr(trial_id, key, value)
        self._remember(trial_id, "_system_attrs", key, json.loads(json.dumps(value)))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._remember(trial_id, "intermediate_values", step, intermediate_value)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id in self._flying:
            self._forget_ended(self._states([_TRIALS.c.trial_id == trial_id]))
        return self._flying.get(trial_id) or self._ended.get(trial_id) or super().get_trial(trial_id)

    def _get_trials(
        self,
        study_id: int,
        states: Any,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        first = trial_id_greater_than < 0 and not self._flying and not self._ended
        if first or states is not None:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        asked = _TRIALS.c.trial_id > trial_id_greater_than
        if included_trial_ids:
            asked |= _TRIALS.c.trial_id.in_(included_trial_ids)
        found = self._states([_TRIALS.c.study_id == study_id, asked])
        self._forget_ended(found)
        known, self._ended = {**self._ended, **self._flying}, {}
        new = {trial_id for trial_id, _ in found if trial_id not in known}
        trials = super()._get_trials(study_id, None, new, _NO_TRIAL) if new else []
        known |= {trial._trial_id: trial for trial in trials}
        return [known[trial_id] for trial_id, _ in found]

    def _as_ended(self, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> FrozenTrial:
        """Our trial at its end: its worker may have set attributes, all else is known."""
        ended = copy.copy(trial)
        with _create_scoped_session(self.scoped_session) as session:
            model = models.TrialModel.find_or_raise_by_id(trial._trial_id, session)
            ended.state, ended.datetime_complete = state, model.datetime_complete
            attributes = select(_USER.key, _USER.value_json).where(_USER.trial_id == trial._trial_id)
            ended._user_attrs = {key: json.loads(text) for key, text in session.execute(attributes)}
        ended._values = None if values is None else list(values)
        return ended

    def _states(self, conditions: Iterable[Any]) -> list[tuple[int, TrialState]]:
        """Id and state of the trials that meet the conditions, by id."""
        with self._reading.connect() as connection:
            return _states_in(connection, conditions)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_reading", None)
        return state

    @cached_property
    def _reading(self) -> Engine:
        """Reads with no transaction around them: on a server each of those is three messages instead of one."""
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def _forget_ended(self, found: Iterable[tuple[int, TrialState]]) -> None:
        """Our trials that another process has ended are read from the database from now on."""
        for trial_id, state in found:
            if state != TrialState.RUNNING:
                self._flying.pop(trial_id, None)

    def _remember(self, trial_id: int, part: str, name: object, value: object) -> None:
        trial = self._flying.get(trial_id)
        if trial is not None:
            changed = copy.copy(trial)  # whoever has read it keeps what was read
            setattr(changed, part, {**getattr(trial, part), name: value})
            self._flying[trial_id] = changed

    def _hold(self, table: type, trial_id: int, key: str, value: Any) -> bool:
        if self._held is None or trial_id not in self._flying:
            return False
        row = {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        self._held.attributes[table][trial_id, key] = row
        return True

    def _write(self, held: Held) -> None:
        """Write in one transaction; writing the same once more changes nothing."""
        if not held.trials():
            return
        insert: Any = postgresql.insert if self.engine.name == "postgresql" else sqlite.insert
        with _create_scoped_session(self.scoped_session) as session:
            for trial_id, state in _states_in(session, [_TRIALS.c.trial_id.in_(held.trials())]):
                self.check_trial_is_updatable(trial_id, state)
            if held.params:
                statement = insert(models.TrialParamModel).on_conflict_do_nothing()
                session.execute(statement, list(held.params.values()))
            for table, rows in held.attributes.items():
                if rows:
                    statement = insert(table)
                    new = {"value_json": statement.excluded.value_json}
                    statement = statement.on_conflict_do_update(index_elements=["trial_id", "key"], set_=new)
                    session.execute(statement, list(rows.values()))


class TrialCache(_CachedStorage):
    """Optuna's cache, which sorts all trials whenever it is asked for some; here they are kept in order."""

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        self._read_trials_from_remote_storage(study_id)
        with self._lock:
            study = self._studies[study_id]
            if states is None or any(state.is_finished() and state in states for state in TrialState):
                trials = list(study.trials.values())
            else:
                trials = [study.trials[n] for n in sorted(map(self._number_of, study.unfinished_trial_ids))]
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def _number_of(self, trial_id: int) -> int:
        return self._trial_id_to_study_id_and_number[trial_id][1]

    def _add_trials_to_cache(self, study_id: int, trials: list[FrozenTrial]) -> None:
        study = self._studies[study_id]
        last = next(reversed(study.trials), -1)
        new = [trial.number for trial in trials if trial.number not in study.trials]
        super()._add_trials_to_cache(study_id, trials)
        if [last, *new] != sorted([last, *new]):  # another process's, which was begun before our last
            study.trials = dict(sorted(study.trials.items()))


def cached(storage: BaseStorage) -> BaseStorage:
    """`storage`, a database behind the cache; a journal keeps everything in memory anyway."""
    return TrialCache(storage) if isinstance(storage, RDBStorage) else storage


def _states_in(session: Session | Connection, conditions: Iterable[Any]) -> list[tuple[int, TrialState]]:
    query = select(_TRIALS.c.trial_id, _TRIALS.c.state).where(*conditions).order_by(_TRIALS.c.trial_id)
    return [(trial_id, state) for trial_id, state in session.execute(query)]


def together(study: Study) -> AbstractContextManager[None]:
    """What is set of the study's trials in the block is one transaction, where its storage can do that."""
    backend = getattr(study._storage, "_backend", study._storage)
    return backend.together() if isinstance(backend, TrialStorage) else nullcontext()
