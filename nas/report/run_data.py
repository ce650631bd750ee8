"""Everything that a run's page is made of, read from the run's folder."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.baselines import Baseline, read_baselines
from nas.layer_times import LayerTimes, read_layer_times
from nas.run_folder import RunFolder, open_run
from nas.study import close, open_study
from nas.trials import Row, best_of, study_rows

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from search_space import Point


@dataclass(frozen=True)
class RunData:
    """A run with its trials. `attrs` are the study's own, `trials` Optuna's, by number."""

    run: RunFolder
    rows: list[Row]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    trials: Mapping[int, FrozenTrial] = field(default_factory=dict)
    baselines: tuple[Baseline, ...] = ()
    layers: Mapping[str, LayerTimes] = field(default_factory=dict)

    @property
    def best(self) -> tuple[Row, bool] | None:
        """The best candidate, and whether it is within the target."""
        return best_of(self.rows, self.run.settings.targets)

    @property
    def front(self) -> list[Row]:
        """The front, the fastest first."""
        return sorted((row for row in self.rows if row.on_front), key=lambda row: row.latency_ms or 0.0)

    @property
    def evaluated(self) -> list[Row]:
        """The trials that found an accuracy themselves."""
        return [row for row in self.rows if row.evaluated]

    def point(self, row: Row) -> Point:
        """What a trial chose; empty where the study does not tell."""
        trial = self.trials.get(row.number)
        return dict(trial.params) if trial is not None else {}

    def seconds(self, row: Row) -> float | None:
        """How long a trial took, None while it runs."""
        trial = self.trials.get(row.number)
        if trial is None or trial.datetime_start is None or trial.datetime_complete is None:
            return None
        return (trial.datetime_complete - trial.datetime_start).total_seconds()

    def hours(self, row: Row) -> float | None:
        """Hours from the start of the first trial to the end of this one."""
        if self._started is None or row.finished_at is None:
            return None
        return (row.finished_at - self._started) / 3600

    @cached_property
    def _started(self) -> float | None:
        starts = [t.datetime_start for t in self.trials.values() if t.datetime_start is not None]
        return min(starts).timestamp() if starts else None


class RunReader:
    """Reads a run again and again; what Optuna has read of ended trials it does not read twice."""

    def __init__(self, folder: str | Path) -> None:
        self._run = open_run(Path(folder))
        self._study = open_study(self._run.database, None, self._run.settings.objective, create=False)

    def read(self) -> RunData:
        """The run as it is now; InputError for what cannot be read."""
        run, study = self._run, self._study
        with _collector_paused():
            rows = study_rows(study, run.settings)
            trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
        return RunData(
            run, rows, study.user_attrs, trials, read_baselines(run.path), read_layer_times(run.path)
        )

    def close(self) -> None:
        """Close the database."""
        close(self._study)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Optuna makes fifty objects for each trial's choices; looking for garbage among them doubles the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def read_run(folder: str | Path) -> RunData:
    """Read a run's folder; InputError where it is not one, or holds what cannot be read."""
    with closing(RunReader(folder)) as reader:
        return reader.read()
