"""The search: ask for a point, measure it, train it, tell what came of it, write it down."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from candidates import Architecture
from candidates.errors import RunError
from nas.evaluation import Evaluation, Evaluator, Measured
from nas.run_folder import RunFolder
from nas.samplers.halting import CURVE, Rule, should_stop
from nas.samplers.history import WORST
from nas.study import first_line
from nas.targets import is_predicted, latencies_of
from nas.trials import Row, architecture_text, study_rows

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

    from nas.samplers.limits import Limits
    from search_space import FactorizedSpace

MOST_FAILURES = 5  # in a row; then something is wrong that the next candidate will not cure
MOST_TOO_SLOW = 100  # in a row; then the target is out of reach


class Progress(Protocol):
    """Where a search shows what it does."""

    def trial(self, row: Row, rows: list[Row]) -> None:
        """A trial has ended."""
        ...

    def note(self, text: str) -> None:
        """Something to know, in a sentence."""
        ...


class Stop:
    """Whether the user asked for an end: the first Ctrl-C sets it, the second interrupts what runs."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.asked = False
        self._say = say

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Handle SIGINT and SIGTERM while the block runs."""
        previous = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say("stopping when this trial has finished; Ctrl-C again stops now")


@dataclass
class Search:
    """A search in a run folder. `run` goes on until the settings' number of trials is complete."""

    folder: RunFolder
    study: Study
    space: FactorizedSpace
    evaluate: Evaluator
    found: Mapping[str, Any]
    progress: Progress
    after_trial: Callable[[list[Row]], None] = lambda rows: None
    measure_front_now: Callable[[Architecture], Measured] | None = None
    limits: Limits | None = None
    rule: Rule | None = None
    known: dict[str, Row] = field(default_factory=dict)

    def run(self, stop: Stop) -> list[Row]:
        """Evaluate until enough trials are complete or `stop` is asked; return the rows."""
        rows = self.rows()
        self.known = {r.id: r for r in rows if r.id and _is_known(r)}
        while _completed(rows) < self.folder.settings.trials and not stop.asked:
            trial = self.study.ask()
            self._one(trial)
            rows = self._with_measured_front()
            row = rows[-1]
            if row.id and _is_known(row):
                self.known.setdefault(row.id, row)
            self.folder.write(rows, self.found)
            self.progress.trial(row, rows)
            self.after_trial(rows)
            _check_hopeless(rows)
        return rows

    def rows(self) -> list[Row]:
        """Every trial so far, with the longer measurements of those that have one."""
        return study_rows(self.study, self.folder.settings)

    def _with_measured_front(self) -> list[Row]:
        """The rows; where predictions are measured as they reach the front, until none on it is predicted."""
        rows = self.rows()
        while self.measure_front_now is not None:
            predicted = [row for row in rows if row.on_front and is_predicted(row.measurement)]
            if not predicted:
                break
            measured = self.measure_front_now(predicted[0].arch())
            self.keep_measurement("measured", str(predicted[0].id), measured.to_dict())
            rows = self.rows()
        return rows

    def keep_measurement(self, kind: str, id: str, measurement: Mapping[str, Any]) -> None:
        """Keep a later measurement of a candidate with the study: `measured`, or `final` (the long one)."""
        kept = {**self.study.user_attrs.get(kind, {}), id: dict(measurement)}
        self.study.set_user_attr(kind, kept)

    def _one(self, trial: Trial) -> None:
        """Evaluate one trial and tell the study."""
        from optuna.trial import TrialState

        base = self.space.decode(self.space.suggest(trial))
        arch = self.evaluate.deploy(base)
        describe(trial, arch)
        broken = self.limits.broken(arch) if self.limits else ()
        if broken:
            trial.set_user_attr("over_limit", "; ".join(broken))
            self.study.tell(trial, state=TrialState.PRUNED)
            return
        known = self.known.get(arch.id)
        try:
            evaluation = _repeat(known) if known else self._evaluated(trial, base)
        except Exception as error:
            trial.set_user_attr("failed_because", first_line(error))
            self.study.tell(trial, state=TrialState.FAIL)
            return
        if known:
            trial.set_user_attr("duplicate_of", known.number)
        _keep(trial, evaluation)
        if evaluation.accuracy is None:
            self.study.tell(trial, state=TrialState.PRUNED)
            return
        score = self._reward(evaluation.accuracy, evaluation.latency_ms, evaluation.measurement)
        trial.set_user_attr("reward", score)
        pareto = self.folder.settings.objective == "pareto"
        self.study.tell(trial, [evaluation.accuracy, evaluation.latency_ms] if pareto else score)

    def _evaluated(self, trial: Trial, base: Architecture) -> Evaluation:
        """Measure, then train; a training that its epochs so far show to be hopeless is stopped."""
        measured = self.evaluate.latency(base)
        _keep(trial, measured)  # the rule that stops trainings weighs accuracies by it
        settings = self.folder.settings
        if settings.also:  # samplers then see how slow it is on the device where it misses most
            worst = settings.targets.worst(latencies_of(measured.latency_ms, measured.measurement))
            trial.set_user_attr(WORST, worst * settings.target_ms)
        curve: list[float] = []

        def hopeless(accuracy: float) -> bool:
            curve.append(accuracy)
            trial.set_user_attr(CURVE, curve)
            if self.rule is None:
                return False
            trials = self.study.get_trials(deepcopy=False)
            return should_stop(self.rule, trials[trial.number], curve, trials, self._weigh)

        return self.evaluate.accuracy(base, measured, hopeless)

    @property
    def _weigh(self) -> Callable[[FrozenTrial], float] | None:
        """What a trial's accuracy is multiplied by for its reward; None with two objectives."""
        if self.folder.settings.objective == "pareto":
            return None
        return lambda trial: self._reward(
            1.0, trial.user_attrs["latency_ms"], trial.user_attrs["measurement"]
        )

    def _reward(self, accuracy: float, latency_ms: float, measurement: Mapping[str, Any]) -> float:
        targets = self.folder.settings.targets
        return targets.reward(accuracy, latencies_of(latency_ms, measurement))


def describe(trial: Trial, arch: Architecture) -> None:
    """Write down what is known of a trial's architecture before anything is measured."""
    trial.set_user_attr("id", arch.id)
    trial.set_user_attr("architecture", architecture_text(arch))
    trial.set_user_attr("parameters", arch.parameters())
    trial.set_user_attr("multiply_adds", arch.multiply_adds())


def _keep(trial: Trial, evaluation: Evaluation) -> None:
    for name, value in evaluation.attributes().items():
        trial.set_user_attr(name, value)


def _repeat(known: Row) -> Evaluation:
    """What is known of the same network already."""
    assert known.latency_ms is not None
    return Evaluation(known.latency_ms, dict(known.measurement), known.accuracy, known.loss)


def _is_known(row: Row) -> bool:
    """Whether a second visit of the row's network can be answered from it."""
    return row.evaluated or (row.state == "PRUNED" and row.latency_ms is not None)


def _completed(rows: list[Row]) -> int:
    return sum(row.state == "COMPLETE" for row in rows)


def _check_hopeless(rows: list[Row]) -> None:
    last = rows[-MOST_FAILURES:]
    if len(last) == MOST_FAILURES and all(row.failed_because for row in last):
        raise RunError(
            f"the last {MOST_FAILURES} candidates failed; the last one because: {last[-1].failed_because}"
        )
    last = rows[-MOST_TOO_SLOW:]
    if len(last) < MOST_TOO_SLOW:
        return
    if all(row.over_limit for row in last):
        raise RunError(f"the last {MOST_TOO_SLOW} candidates were over a limit: {last[-1].over_limit}")
    if all(row.too_slow or row.over_limit for row in last):
        fastest = min(row.latency_ms for row in last if row.latency_ms is not None)
        raise RunError(
            f"the last {MOST_TOO_SLOW} candidates were too slow to train, the fastest at {fastest:.2f} ms; "
            "raise --target-ms or --max-latency-factor, or lower --resolution"
        )


@dataclass(frozen=True)
class Confirmation:
    """What is done once the trials are through: longer measurements, and how noisy the proxy is."""

    measure: Callable[[Architecture], Any]
    train: Callable[[Architecture, int], Any]
    seed: int
    again: int

    def measure_front(self, search: Search, stop: Stop) -> list[Row]:
        """Measure the front and the best at length until all of them have such a measurement."""
        from nas.trials import best_of

        rows = search.rows()
        targets = search.folder.settings.targets
        while not stop.asked:
            final = search.study.user_attrs.get("final", {})
            best = best_of(rows, targets)
            wanted = [row for row in rows if row.on_front or (best and row.number == best[0].number)]
            todo = [row for row in wanted if row.id not in final]
            if not todo:
                break
            search.keep_measurement("final", str(todo[0].id), self.measure(todo[0].arch()).to_dict())
            rows = search.rows()
            search.folder.write(rows, search.found)
        return rows

    def train_again(self, search: Search, rows: list[Row], stop: Stop) -> None:
        """Train the best `again` candidates once more with another seed, which tells the proxy's noise."""
        from nas.trials import ranked

        repeats: dict[str, float] = dict(search.study.user_attrs.get("repeats", {}))
        chosen = ranked(rows)[: self.again]
        for row in chosen:
            if row.id not in repeats and not stop.asked:
                params = search.study.get_trials(deepcopy=False)[row.number].params
                repeats[str(row.id)] = self.train(search.space.decode(params), self.seed + 1).accuracy
                search.study.set_user_attr("repeats", repeats)
