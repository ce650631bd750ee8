"""Puts ended trials into a study's database directly: Optuna's own way takes a tenth of a second for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from optuna import Study
from optuna.distributions import CategoricalDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import insert, select

START = datetime(2026, 1, 1, 20)
_CHUNK = 1000


@dataclass(frozen=True)
class Ended:
    """A trial that has ended: its point, its state's name, its user attributes and its values."""

    point: Mapping[str, Any]
    state: str
    attrs: Mapping[str, Any]
    values: Sequence[float] = ()


def fill(study: Study, choices: Mapping[str, Sequence[Any]], trials: Sequence[Ended]) -> None:
    """Put `trials` into a study that has none yet, in SQLite or PostgreSQL; eleven seconds apart."""
    engine = study._storage._backend.engine  # type: ignore[attr-defined]
    kinds = {
        name: distribution_to_json(CategoricalDistribution(tuple(values))) for name, values in choices.items()
    }
    places = {name: {value: at for at, value in enumerate(values)} for name, values in choices.items()}
    with engine.begin() as connection:
        for first in range(0, len(trials), _CHUNK):
            part = range(first, min(first + _CHUNK, len(trials)))
            connection.execute(
                insert(models.TrialModel.__table__),
                [_trial(study._study_id, number, trials[number].state) for number in part],
            )
            found = select(models.TrialModel.number, models.TrialModel.trial_id).where(
                models.TrialModel.study_id == study._study_id, models.TrialModel.number >= first
            )
            ids = dict(connection.execute(found).tuples().all())
            rows: dict[Any, list[dict[str, Any]]] = {
                models.TrialParamModel: [
                    {
                        "trial_id": ids[number],
                        "param_name": name,
                        "param_value": places[name][value],
                        "distribution_json": kinds[name],
                    }
                    for number in part
                    for name, value in trials[number].point.items()
                ],
                models.TrialUserAttributeModel: [
                    {"trial_id": ids[number], "key": name, "value_json": json.dumps(value)}
                    for number in part
                    for name, value in trials[number].attrs.items()
                ],
                models.TrialValueModel: [
                    {
                        "trial_id": ids[number],
                        "objective": objective,
                        "value": value,
                        "value_type": models.TrialValueModel.TrialValueType.FINITE,
                    }
                    for number in part
                    for objective, value in enumerate(trials[number].values)
                ],
            }
            for table, some in rows.items():
                if some:
                    connection.execute(insert(table.__table__), some)


def _trial(study_id: int, number: int, state: str) -> dict[str, Any]:
    start = START + timedelta(seconds=11 * number)
    return {
        "study_id": study_id,
        "number": number,
        "state": TrialState[state],
        "datetime_start": start,
        "datetime_complete": start + timedelta(seconds=10),
    }
