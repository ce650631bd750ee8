"""What a study has found out so far, as a sampler wants it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.seeding import decided
from nas.samplers.view import View
from search_space import Point

WORST = "worst_ms"  # the user attribute with the latency that counts, where there are several devices
PROPOSED = "nas:proposed"  # the system attribute that holds what a trial in flight was given


@dataclass(frozen=True)
class Observation:
    """A decided trial. `values` are turned so that more is better, and None where nothing was trained.

    `accuracy` (0 to 1) and `latency_ms` are there where the search wrote them.
    """

    number: int
    point: Point
    values: tuple[float, ...] | None
    accuracy: float | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class History:
    """The decided trials in the order of their numbers, each candidate once, and the points in flight."""

    observations: tuple[Observation, ...]
    pending: tuple[Point, ...]
    objectives: int
    identities: frozenset[Hashable]
    partial: tuple[Point, ...] = ()

    @property
    def evaluated(self) -> tuple[Observation, ...]:
        """Those with values."""
        return tuple(found for found in self.observations if found.values is not None)

    def taken(self, view: View, point: Point) -> bool:
        """Whether the candidate of `point` was decided already, or is in flight.

        A trial that asked for some of the parameters only is met again by every point that agrees in them.
        """
        if view.identity(point) in self.identities:
            return True
        return any(all(point[name] == value for name, value in some.items()) for some in self.partial)

    def with_pending(self, view: View, point: Point) -> History:
        """The history once `point` is in flight too."""
        identities = self.identities | {view.identity(point)}
        return replace(self, pending=(*self.pending, point), identities=identities)


@dataclass(frozen=True)
class Seen:
    """What was made of a decided trial; None where its point is not of the space."""

    trial: FrozenTrial
    identity: Hashable
    observation: Observation | None


Memory = dict[int, Seen]
"""By trial number, so that a trial is looked at once, however often the history is asked for."""


def history_of(
    trials: Sequence[FrozenTrial],
    directions: Sequence[StudyDirection],
    view: View,
    asking: int | None = None,
    memory: Memory | None = None,
) -> History:
    """The history of `trials`, without the trial `asking` itself and without points of another space.

    `memory` is that of earlier calls with the same view and directions.
    """
    memory = {} if memory is None else memory
    observations: dict[Hashable, Observation] = {}
    identities: set[Hashable] = set()
    partial: list[Point] = []
    choices = len(view.choices)
    for trial in decided(trials):
        seen = memory.get(trial.number)
        if seen is None or seen.trial is not trial:
            seen = memory[trial.number] = _seen(trial, view, directions)
        found = seen.observation
        if found is None:
            continue
        if len(trial.params) < choices:
            partial.append(dict(trial.params))
        identities.add(seen.identity)
        known = observations.get(seen.identity)
        if known is None or (known.values is None and found.values is not None):
            observations[seen.identity] = found
    flying = [
        point
        for trial in trials
        if trial.state == TrialState.RUNNING and trial.number != asking
        for point in [_point(trial, view)]
        if point is not None
    ]
    identities.update(view.identity(point) for point in flying)
    return History(
        tuple(observations.values()), tuple(flying), len(directions), frozenset(identities), tuple(partial)
    )


def _seen(trial: FrozenTrial, view: View, directions: Sequence[StudyDirection]) -> Seen:
    point = _point(trial, view)
    if point is None:
        return Seen(trial, None, None)
    return Seen(trial, view.identity(point), _observation(trial, point, directions))


def _point(trial: FrozenTrial, view: View) -> Point | None:
    """The trial's point, what it did not ask for filled with each choice's middle value."""
    params = dict(trial.params)
    if not trial.state.is_finished():
        params = {
            **trial.system_attrs.get(PROPOSED, {}),
            **trial.system_attrs.get("fixed_params", {}),
            **params,
        }
    known = {choice.name: choice for choice in view.choices}
    if not params or not any(name in known for name in params):
        return None
    point = {}
    for name, choice in known.items():
        value = params.get(name, choice.values[len(choice.values) // 2])
        numeric = not any(isinstance(v, str) or v is None for v in choice.values)
        if value not in choice.values and not (numeric and len(choice.values) > 9):
            return None
        point[name] = value
    return point


def _observation(trial: FrozenTrial, point: Point, directions: Sequence[StudyDirection]) -> Observation:
    values = None
    if trial.state == TrialState.COMPLETE and trial.values is not None:
        signs = [1.0 if direction == StudyDirection.MAXIMIZE else -1.0 for direction in directions]
        values = tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))
    return Observation(
        trial.number,
        point,
        values,
        _number(trial.user_attrs.get("accuracy")),
        _number(trial.user_attrs.get(WORST, trial.user_attrs.get("latency_ms"))),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
