"""The search: ask for a point, measure it, have it trained, tell what came of it, write it down."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from candidates import Architecture
from nas.evaluation import Evaluation, Evaluator, Measured
from nas.hopeless import check_hopeless
from nas.run_folder import RunFolder
from nas.samplers.halting import Rule
from nas.samplers.history import WORST
from nas.stopping import Stop
from nas.storage import first_line
from nas.targets import is_predicted, latencies_of
from nas.trials import Book, Row, architecture_text
from nas.watch import Watch
from nas.workers.inline import Inline

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial, TrialState

    from nas.heartbeat import Heartbeat
    from nas.samplers.limits import Limits
    from search_space import FactorizedSpace

WAITING_SECONDS = 1.0  # between looks at a study that others are finishing
WRITING_SHARE = 0.05  # of the time goes into the run folder's files at most


class Progress(Protocol):
    """Where a search shows what it does."""

    def trial(self, row: Row, rows: list[Row]) -> None:
        """A trial has ended."""
        ...

    def note(self, text: str) -> None:
        """Something to know, in a sentence."""
        ...


class Workers(Protocol):
    """Where trainings run: a `concurrent.futures.Executor` with so many workers, each of which can be killed."""

    count: int

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn` run by a free worker."""
        ...

    def kill(self, future: Future[Any]) -> None:
        """End the worker that runs `future`."""
        ...


@dataclass
class Flight:
    """A trial that is being trained, and those that turned out to be the same network meanwhile."""

    trial: Trial
    id: str
    base: Architecture
    measured: Evaluation
    watch: Watch
    attempts: int = 0
    started: float = 0.0
    overdue: bool = False
    twins: list[Trial] = field(default_factory=list)


@dataclass
class Search:
    """A search in a run folder. `run` goes on until the settings' number of trials is complete.

    With `patient`, new candidates wait until every training has ended: their measuring shares cores with it.
    A training that fails is tried again `retries` times, one that takes longer than `trial_timeout` seconds
    is ended. With a `heartbeat` the study is shared with other searches.
    """

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
    workers: Workers = field(default_factory=Inline)
    patient: bool = False
    retries: int = 0
    trial_timeout: float | None = None
    heartbeat: Heartbeat | None = None
    known: dict[str, Row] = field(default_factory=dict)
    flights: dict[Future[Any], Flight] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._book = Book(self.study, self.folder.settings)
        self._written = (0.0, 0.0)  # when the files were last written, and how long that took

    def run(self, stop: Stop) -> list[Row]:
        """Evaluate until enough trials are complete or `stop` is asked; return the rows."""
        rows = self._refreshed()
        while True:
            rows = self._fill(rows, stop)
            if self.flights:
                for future in self._ended():
                    rows = self._land(future, rows, stop)
            elif self.heartbeat and _completed(rows) < self.folder.settings.trials and not stop.asked:
                time.sleep(WAITING_SECONDS)  # the others' last trials, which may come back to us
                rows = self._refreshed()
            else:
                break
        self.folder.write(rows, self.found)
        return rows

    def rows(self) -> list[Row]:
        """Every trial so far, with the longer measurements of those that have one."""
        return self._book.rows()

    def _fill(self, rows: list[Row], stop: Stop) -> list[Row]:
        """Give every free worker a candidate; those that need no training are told on the way."""
        ready: list[Flight] = []
        if self.patient and self.flights:
            return rows
        while not stop.asked:
            mine = len(self.flights) + len(ready)
            flying = sum(row.state == "RUNNING" for row in rows) if self.heartbeat else mine
            if (
                mine >= self.workers.count
                or _completed(rows) + max(mine, flying) >= self.folder.settings.trials
            ):
                break
            trial = self.study.ask()
            if self.heartbeat:
                self.heartbeat.begin(trial._trial_id)
                trial.set_user_attr("worker", f"{platform.node()}:{os.getpid()}")
            flight = self._prepare(trial, [*self.flights.values(), *ready])
            if flight is None:
                rows = self._after(trial.number, rows)
            elif self.patient:
                ready.append(flight)
            else:
                self._submit(flight)
        for flight in ready:
            self._submit(flight)
        return rows

    def _prepare(self, trial: Trial, flying: list[Flight]) -> Flight | None:
        """Find out all that needs no training. None where the trial was told, or waits for its twin's end."""
        from optuna.trial import TrialState

        base = self.space.decode(self.space.suggest(trial))
        arch = self.evaluate.deploy(base)
        describe(trial, arch)
        broken = self.limits.broken(arch) if self.limits else ()
        if broken:
            trial.set_user_attr("over_limit", "; ".join(broken))
            self._end(trial, state=TrialState.PRUNED)
            return None
        if self.heartbeat:
            rival = self._rival(trial.number, arch.id)
            if rival is not None:
                trial.set_user_attr("duplicate_of", rival)
                self._end(trial, state=TrialState.PRUNED)
                return None
        if arch.id in self.known:
            self._tell_again(trial, self.known[arch.id])
            return None
        twin = next((flight for flight in flying if flight.id == arch.id), None)
        if twin is not None:
            twin.twins.append(trial)
            return None
        try:
            measured = self.evaluate.latency(base)
        except Exception as error:
            self._fail(trial, first_line(error))
            return None
        _keep(trial, measured, {})  # the rule that stops trainings weighs accuracies by it
        settings = self.folder.settings
        if settings.also:  # samplers then see how slow it is on the device where it misses most
            worst = settings.targets.worst(latencies_of(measured.latency_ms, measured.measurement))
            trial.set_user_attr(WORST, worst * settings.target_ms)
        if self.evaluate.too_slow(measured):
            self._end(trial, state=TrialState.PRUNED)
            return None
        watch = Watch(self.study, self.folder.database, (trial.number, trial._trial_id), self.rule, settings)
        return Flight(trial, arch.id, base, measured, watch)

    def _rival(self, number: int, id: str) -> int | None:
        """An earlier trial of another search that is at the same network; of two that meet, the later yields."""
        mine = {flight.trial.number for flight in self.flights.values()}
        return next(
            (
                row.number
                for row in self._refreshed()
                if row.state == "RUNNING" and row.id == id and row.number < number and row.number not in mine
            ),
            None,
        )

    def _refreshed(self) -> list[Row]:
        """The rows, with what other searches found and without their dead."""
        if self.heartbeat:
            self.heartbeat.bury()
        rows = self.rows()
        for row in rows:
            if row.id and _is_known(row):
                self.known.setdefault(row.id, row)
        return rows

    def _submit(self, flight: Flight) -> None:
        flight.attempts += 1
        flight.started, flight.overdue = time.monotonic(), False
        future = self.workers.submit(self.evaluate.training(flight.watch), flight.base, flight.measured)
        self.flights[future] = flight

    def _ended(self) -> set[Future[Any]]:
        """Wait for a training to end; one that takes too long is ended."""
        while True:
            seconds = None
            if self.trial_timeout is not None:
                begun = [flight.started for flight in self.flights.values() if not flight.overdue]
                if begun:
                    seconds = max(0.01, min(begun) + self.trial_timeout - time.monotonic())
            done, _ = wait(self.flights, timeout=seconds, return_when=FIRST_COMPLETED)
            if done:
                return done
            for future, flight in self.flights.items():
                late = (
                    self.trial_timeout is not None and time.monotonic() - flight.started > self.trial_timeout
                )
                if late and not flight.overdue:
                    flight.overdue = True
                    self.workers.kill(future)

    def _land(self, future: Future[Any], rows: list[Row], stop: Stop) -> list[Row]:
        """Tell what a training came to, or try it again."""
        flight = self.flights.pop(future)
        error = future.exception()
        if error is None:
            with self._given_up(flight.trial):
                self._tell(flight.trial, future.result(), flight.measured.attributes())
        else:
            reason = _why(error, flight, self.trial_timeout)
            if flight.attempts <= self.retries and not stop.asked:
                self.progress.note(f"trial {flight.trial.number} is tried again: {reason}")
                self._submit(flight)
                return rows
            self._fail(flight.trial, reason)
        rows = self._after(flight.trial.number, rows)
        for trial in flight.twins:
            known = self.known.get(flight.id)
            if known is None:
                self._fail(trial, f"the same network as trial {flight.trial.number}, which has no accuracy")
            else:
                self._tell_again(trial, known)
            rows = self._after(trial.number, rows)
        return rows

    def _tell(self, trial: Trial, evaluation: Evaluation, kept: Mapping[str, Any]) -> None:
        """Tell the study what an evaluation found; `kept` is what it has of it already."""
        from optuna.trial import TrialState

        _keep(trial, evaluation, kept)
        if evaluation.accuracy is None:
            self._end(trial, state=TrialState.PRUNED)
            return
        score = self._reward(evaluation.accuracy, evaluation.latency_ms, evaluation.measurement)
        trial.set_user_attr("reward", score)
        pareto = self.folder.settings.objective == "pareto"
        self._end(trial, [evaluation.accuracy, evaluation.latency_ms] if pareto else score)

    def _tell_again(self, trial: Trial, known: Row) -> None:
        """Answer a second visit from what is known of the same network."""
        assert known.latency_ms is not None
        trial.set_user_attr("duplicate_of", known.number)
        found = Evaluation(known.latency_ms, dict(known.measurement), known.accuracy, known.loss)
        self._tell(trial, found, {})

    def _fail(self, trial: Trial, reason: str) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr("failed_because", reason)
        self._end(trial, state=TrialState.FAIL)

    @contextmanager
    def _given_up(self, trial: Trial) -> Iterator[None]:
        """Where others gave a trial up for dead (no sign of life for long), it is theirs, and that is no error."""
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            yield
        except UpdateFinishedTrialError:
            if self.heartbeat is None:
                raise
            self.progress.note(f"trial {trial.number} was taken for dead meanwhile; it is tried again")
            self.heartbeat.end(trial._trial_id)

    def _end(
        self, trial: Trial, values: float | list[float] | None = None, state: TrialState | None = None
    ) -> None:
        """Tell the study."""
        self.study.tell(trial, values, state=state, skip_if_finished=self.heartbeat is not None)
        if self.heartbeat:
            self.heartbeat.end(trial._trial_id)

    def _after(self, number: int, rows: list[Row]) -> list[Row]:
        """Write down and show that a trial has ended, unless it waits for its twin."""
        self._refreshed()
        rows = self._with_measured_front()
        row = next(row for row in reversed(rows) if row.number == number)
        if row.state == "RUNNING":
            return rows
        self._write(rows)
        self.progress.trial(row, rows)
        self.after_trial(rows)
        check_hopeless([row for row in rows if row.state != "RUNNING"])
        return rows

    def _write(self, rows: list[Row]) -> None:
        """Write the folder's files; with very many trials not after each."""
        at, took = self._written
        start = time.monotonic()
        if start - at >= took / WRITING_SHARE:
            self.folder.write(rows, self.found)
            self._written = (time.monotonic(), time.monotonic() - start)

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
        self.study.set_user_attr(f"{kind}:{id}", dict(measurement))

    def _reward(self, accuracy: float, latency_ms: float, measurement: Mapping[str, Any]) -> float:
        targets = self.folder.settings.targets
        return targets.reward(accuracy, latencies_of(latency_ms, measurement))


def describe(trial: Trial, arch: Architecture) -> None:
    """Write down what is known of a trial's architecture before anything is measured."""
    trial.set_user_attr("id", arch.id)
    trial.set_user_attr("architecture", architecture_text(arch))
    trial.set_user_attr("parameters", arch.parameters())
    trial.set_user_attr("multiply_adds", arch.multiply_adds())


def _keep(trial: Trial, evaluation: Evaluation, kept: Mapping[str, Any]) -> None:
    """Write down what is not kept yet: each attribute is a transaction."""
    for name, value in evaluation.attributes().items():
        if name not in kept or kept[name] != value:
            trial.set_user_attr(name, value)


def _why(error: BaseException, flight: Flight, timeout: float | None) -> str:
    """Why a training has failed, in a line."""
    from concurrent.futures import BrokenExecutor

    if flight.overdue:
        return f"the training took longer than {timeout:g} s"
    if isinstance(error, BrokenExecutor):
        return "the worker's process died (killed, or out of memory)"
    return first_line(error)


def _is_known(row: Row) -> bool:
    """Whether a second visit of the row's network can be answered from it."""
    return row.evaluated or (row.state == "PRUNED" and row.latency_ms is not None)


def _completed(rows: list[Row]) -> int:
    return sum(row.state == "COMPLETE" for row in rows)
