"""A search's trials as rows: what the CSV, the candidates and the report are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import attrgetter, is_
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


def completed(rows: Sequence[Row]) -> int:
    """How many trials are complete."""
    return len(in_state("COMPLETE", rows))


def in_state(state: str, rows: Sequence[Row]) -> list[Row]:
    """The rows of the trials in a state."""
    return (rows if isinstance(rows, Rows) else Rows(rows)).in_state(state)


class Rows(list[Row]):
    """A study's rows, looked through once for a state; a search asks several times for each of its trials."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        super().__init__(rows)
        self._in_state: dict[str, list[Row]] = {}

    def in_state(self, state: str) -> list[Row]:
        """The rows of the trials in a state; these rows are not to be changed afterwards."""
        if state not in self._in_state:
            self._in_state[state] = list(compress(self, map(state.__eq__, map(attrgetter("state"), self))))
        return self._in_state[state]


def study_rows(study: Study, settings: SearchSettings) -> list[Row]:
    """The rows of a study, with the later measurements that are kept with it."""
    return Book(study, settings).rows()


def kept_with(attrs: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What a study's attributes hold of a kind, by candidate: one attribute each, so that none overwrites another."""
    prefix = f"{kind}:"
    return {name.removeprefix(prefix): value for name, value in attrs.items() if name.startswith(prefix)}


@dataclass
class Book:
    """A study's trials as rows. Each is read once, so that a long search stays cheap to follow.

    `_trials` are those that were read last and `_rows` theirs, None for one that waits; `_front` and `_news`
    are places in both.
    """

    study: Study
    settings: SearchSettings
    _trials: list[FrozenTrial] = field(default_factory=list)
    _rows: list[Row | None] = field(default_factory=list)
    _front: set[int] = field(default_factory=set)
    _later: dict[str, Any] = field(default_factory=dict)
    _news: list[int] = field(default_factory=list)

    def rows(self, anew: bool = True) -> Rows:
        """A row for each trial that was started, the front marked.

        Later, longer measurements take the place of those made while searching; without `anew`, those that
        were there when this was last asked.
        """
        if anew:
            attrs = self.study.user_attrs
            later = {**kept_with(attrs, "measured"), **kept_with(attrs, "final")}
            if later != self._later:
                self._trials, self._rows, self._front, self._later = [], [], set(), later
        before, self._trials = self._trials, self.study.get_trials(deepcopy=False)
        same = list(map(is_, self._trials, before))
        self._rows += [None] * (len(self._trials) - len(before))
        changed = [place for place, alike in enumerate(same) if not alike] if False in same else []
        ended = [place for place in (*changed, *range(len(before), len(self._trials))) if self._read(place)]
        if ended:
            self._news += ended
            self._mark(ended)
        return Rows(filter(None, self._rows))

    def news(self) -> list[Row]:
        """The rows of the trials that ended, or were measured anew, since this was last asked."""
        places, self._news = self._news, []
        return [row for row in map(self._rows.__getitem__, places) if row]

    def _read(self, place: int) -> bool:
        """Make a trial's row, if it does not wait; whether the trial has ended."""
        from optuna.trial import TrialState

        trial = self._trials[place]
        waits = trial.state is TrialState.WAITING
        measurement = self._later.get(trial.user_attrs.get("id", ""))
        self._rows[place] = None if waits else _row(trial, self.settings, measurement)
        return trial.state.is_finished()

    def _mark(self, ended: Iterable[int]) -> None:
        """Mark the front anew, of which what was not on it before is no part."""
        rivals = {
            row.number: (place, row) for place in self._front.union(ended) if (row := self._rows[place])
        }
        front = front_of(row for _, row in rivals.values())
        for number, (place, row) in rivals.items():
            if row.on_front != (number in front):
                self._rows[place] = replace(row, on_front=number in front)
        self._front = {rivals[number][0] for number in front}


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
    """The evaluated rows, the highest reward first; of equals the faster, then the earlier."""
    evaluated = [row for row in rows if row.evaluated and row.reward is not None]
    return sorted(evaluated, key=lambda row: (-(row.reward or 0.0), row.latency_ms or 0.0, row.number))


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
