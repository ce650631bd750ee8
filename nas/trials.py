"""A search's trials as rows: what the CSV, the candidates and the report are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from candidates import Architecture
from nas.candidate import Candidate
from nas.targets import Latencies, Targets, latencies_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from nas.settings import SearchSettings


@dataclass(frozen=True)
class Row:
    """One trial. `state` is Optuna's name; what a trial did not reach is None."""

    number: int
    state: str
    id: str | None = None
    accuracy: float | None = None
    loss: float | None = None
    latency_ms: float | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    reward: float | None = None
    on_front: bool = False
    duplicate_of: int | None = None
    failed_because: str | None = None
    over_limit: str | None = None
    epochs: int = 0
    measuring_seconds: float = 0.0
    training_seconds: float = 0.0
    finished_at: float | None = None
    measurement: Mapping[str, Any] = field(default_factory=dict)
    architecture: str | None = None

    @property
    def evaluated(self) -> bool:
        """Whether this trial found an accuracy itself."""
        return self.state == "COMPLETE" and self.duplicate_of is None and self.accuracy is not None

    @property
    def too_slow(self) -> bool:
        """Whether it was measured and not trained at all, for its latency."""
        untrained = self.state == "PRUNED" and self.epochs == 0
        return untrained and self.over_limit is None and self.duplicate_of is None

    @property
    def latencies(self) -> Latencies:
        """Milliseconds on each of the search's devices; only of a trial that was measured."""
        assert self.latency_ms is not None, f"trial {self.number} was not measured"
        return latencies_of(self.latency_ms, self.measurement)

    def arch(self) -> Architecture:
        """The architecture, as it is deployed."""
        assert self.architecture is not None, f"trial {self.number} has no architecture"
        return Architecture.from_json(self.architecture)


def completed(rows: Iterable[Row]) -> int:
    """How many trials are complete; asked several times for each trial of a search."""
    return list(map(attrgetter("state"), rows)).count("COMPLETE")


def study_rows(study: Study, settings: SearchSettings) -> list[Row]:
    """The rows of a study, with the later measurements that are kept with it."""
    return Book(study, settings).rows()


def kept_with(attrs: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What a study's attributes hold of a kind, by candidate: one attribute each, so that none overwrites another."""
    prefix = f"{kind}:"
    return {name.removeprefix(prefix): value for name, value in attrs.items() if name.startswith(prefix)}


@dataclass
class Book:
    """A study's trials as rows. Each is read once, so that a long search stays cheap to follow."""

    study: Study
    settings: SearchSettings
    _kept: dict[int, tuple[FrozenTrial, Row]] = field(default_factory=dict)
    _front: set[int] = field(default_factory=set)
    _later: dict[str, Any] = field(default_factory=dict)
    _news: list[int] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """A row for each trial that was started, the front marked.

        Later, longer measurements take the place of those made while searching.
        """
        from optuna.trial import TrialState

        attrs = self.study.user_attrs
        later = {**kept_with(attrs, "measured"), **kept_with(attrs, "final")}
        if later != self._later:
            self._kept, self._front, self._later = {}, set(), later
        rows: list[Row] = []
        ended = []
        for trial in self.study.get_trials(deepcopy=False):
            number = trial.number
            kept = self._kept.get(number)
            if kept is None or kept[0] is not trial:
                if trial.state is TrialState.WAITING:
                    continue
                measurement = later.get(trial.user_attrs.get("id", ""))
                kept = self._kept[number] = trial, _row(trial, self.settings, measurement)
                if trial.state.is_finished():
                    ended.append(number)
            rows.append(kept[1])
        if ended:
            self._news += ended
            if self._marked(ended):
                rows = [self._kept[row.number][1] for row in rows]
        return rows

    def news(self) -> list[Row]:
        """The rows of the trials that ended, or were measured anew, since this was last asked."""
        numbers, self._news = self._news, []
        return [self._kept[number][1] for number in numbers]

    def _marked(self, ended: Iterable[int]) -> bool:
        """Mark the front anew, of which what was not on it before is no part; whether that changed any row."""
        rivals = self._front.union(ended)
        front = front_of([self._kept[number][1] for number in rivals])
        changed = [number for number in rivals if self._kept[number][1].on_front != (number in front)]
        for number in changed:
            trial, row = self._kept[number]
            self._kept[number] = trial, replace(row, on_front=number in front)
        self._front = front
        return bool(changed)


def _row(trial: FrozenTrial, settings: SearchSettings, later: Mapping[str, Any] | None) -> Row:
    attrs = trial.user_attrs
    measurement = later or attrs.get("measurement") or {}
    latency = measurement.get("latency_ms", attrs.get("latency_ms"))
    accuracy = attrs.get("accuracy")
    score = None
    if trial.state.name == "COMPLETE" and accuracy is not None and latency is not None:
        score = settings.targets.reward(accuracy, latencies_of(latency, measurement))
    return Row(
        number=trial.number,
        state=trial.state.name,
        id=attrs.get("id"),
        accuracy=accuracy,
        loss=attrs.get("loss"),
        latency_ms=latency,
        parameters=attrs.get("parameters"),
        multiply_adds=attrs.get("multiply_adds"),
        reward=score,
        duplicate_of=attrs.get("duplicate_of"),
        failed_because=attrs.get("failed_because"),
        over_limit=attrs.get("over_limit"),
        epochs=len(attrs.get("curve", ())),
        measuring_seconds=attrs.get("measuring_seconds", 0.0),
        training_seconds=attrs.get("training_seconds", 0.0),
        finished_at=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
        measurement=measurement,
        architecture=attrs.get("architecture"),
    )


def front_of(rows: Iterable[Row]) -> set[int]:
    """The numbers of the rows where no other is at least as accurate and as fast, and better in one.

    With several devices, as fast means on each of them. Of equals the earlier is on the front.
    """
    front: list[Row] = []
    evaluated = [row for row in rows if row.evaluated]
    for row in sorted(evaluated, key=lambda row: (row.latencies, -(row.accuracy or 0), row.number)):
        # Those before are as fast on the main device, and one device's front is in rising accuracy.
        rivals = front if len(row.latencies) > 1 else front[-1:]
        if not any(_as_good(other, row) for other in rivals):
            front.append(row)
    return {row.number for row in front}


def _as_good(one: Row, other: Row) -> bool:
    """Whether `one` is at least as accurate as `other`, and as fast on every device."""
    faster = all(a <= b for a, b in zip(one.latencies, other.latencies, strict=True))
    return faster and (one.accuracy or 0.0) >= (other.accuracy or 0.0)


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The evaluated rows, the highest reward first; of equals the earlier."""
    evaluated = [row for row in rows if row.evaluated and row.reward is not None]
    return sorted(evaluated, key=lambda row: (-(row.reward or 0.0), row.number))


def best_of(rows: Iterable[Row], targets: Targets) -> tuple[Row, bool] | None:
    """The highest reward within the targets, and True; where none is within, the nearest, and False."""
    order = ranked(rows)
    within = [row for row in order if targets.within(row.latencies)]
    if within:
        return within[0], True
    if order:
        return min(order, key=lambda row: targets.worst(row.latencies)), False
    return None


def candidate_of(row: Row, found: Mapping[str, Any], within_target: bool | None = None) -> Candidate:
    """The candidate that a row describes; `found` says how its accuracy came about."""
    return Candidate(
        row.arch(),
        row.accuracy,
        row.latency_ms,
        dict(row.measurement),
        row.reward,
        within_target,
        {**found, "trial": row.number, "validation_loss": row.loss},
    )


def architecture_text(arch: Architecture) -> str:
    """An architecture's JSON in one line, as the study keeps it."""
    return json.dumps(json.loads(arch.to_json()), separators=(",", ":"))
