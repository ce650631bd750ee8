"""The search: ask for a point, measure it, have it trained, tell what came of it, write it down."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optuna.exceptions import UpdateFinishedTrialError

from candidates import Architecture
from nas.evaluation import Evaluation, Evaluator, Measured
from nas.flights import Flight, Progress, Proposal, Workers
from nas.hopeless import check_hopeless
from nas.run_folder import RunFolder
from nas.samplers.halting import Rule
from nas.stopping import Stop
from nas.storage import first_line
from nas.targets import is_predicted
from nas.teller import Teller, describe
from nas.trial_storage import together
from nas.trials import Book, Row, completed, in_state
from nas.watch import Watch
from nas.workers.inline import Inline

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

    from nas.heartbeat import Heartbeat
    from nas.samplers.limits import Limits
    from search_space import FactorizedSpace

WAITING_SECONDS = 1.0  # between looks at a study that others are finishing
PROPOSING_SECONDS = 10.0  # that a trial may be without its architecture before its search counts as dead
WRITING_SHARE = 0.01  # of the time goes into the run folder's files at most


@dataclass
class Search:
    """A search in a run folder. `run` goes on until the settings' number of trials is complete.

    `measured_at_once` says how many candidates can be measured at the same time. With `patient`, new ones
    wait until every training has ended: their measuring shares cores with it.
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
    measured_at_once: Callable[[], int] = lambda: 1
    patient: bool = False
    retries: int = 0
    trial_timeout: float | None = None
    heartbeat: Heartbeat | None = None
    known: dict[str, Row] = field(default_factory=dict)
    flights: dict[Future[Any], Flight] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._asked: set[int] = set()
        self._silent: set[int] = set()  # trials whose searches died before they said what they are
        self._book = Book(self.study, self.folder.settings)
        self._teller = Teller(self.study, self.folder.settings, self.progress, self.heartbeat)
        self._written = (0.0, 0.0)  # when the files were last written, and how long that took

    def run(self, stop: Stop) -> list[Row]:
        """Evaluate until enough trials are complete or `stop` is asked; return the rows."""
        rows = self._refreshed()
        while True:
            rows = self._fill(rows, stop)
            if self.flights:
                for future in self._ended():
                    rows = self._land(future, rows, stop)
            elif self.heartbeat and completed(rows) < self.folder.settings.trials and not stop.asked:
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
        while True:
            proposals, rows = self._proposals(rows, ready, stop)
            if not proposals:
                break
            for proposal, measured in zip(proposals, self._measured(proposals), strict=True):
                flight = self._promising(proposal, measured)
                if flight is None:
                    rows = self._landed(proposal, rows)
                elif self.patient:
                    ready.append(flight)
                else:
                    self._submit(flight)
        for flight in ready:
            self._submit(flight)
        return rows

    def _proposals(
        self, rows: list[Row], ready: list[Flight], stop: Stop
    ) -> tuple[list[Proposal], list[Row]]:
        """Candidates for free workers, as many as can be measured at once; and the rows."""
        found: list[Proposal] = []
        while not stop.asked and len(found) < self.measured_at_once():
            mine = {one.trial.number for one in (*self.flights.values(), *ready, *found)}
            # Other searches', also dead ones', whose points will be queued again; and twins.
            others = sum(row.number not in mine for row in in_state("RUNNING", rows))
            if (
                len(mine) >= self.workers.count
                or completed(rows) + len(mine) + others >= self.folder.settings.trials
            ):
                break
            asked = self._ask()
            if asked is None:
                continue
            proposal = self._propose(*asked, [*self.flights.values(), *ready, *found])
            if proposal is None:
                rows = self._after(asked[0].number, rows)
            else:
                found.append(proposal)
        return found, rows

    def _ask(self) -> tuple[Trial, Architecture, Architecture] | None:
        """A new trial with its architecture, in the space and as deployed; written down before what takes long.

        None where others gave it up for dead meanwhile.
        """
        trial = self.study.ask()
        self._asked.add(trial.number)
        if self.heartbeat:
            self.heartbeat.begin(trial._trial_id)
        try:
            with together(self.study):
                if self.heartbeat:
                    trial.set_user_attr("worker", f"{platform.node()}:{os.getpid()}")
                base = self.space.decode(self.space.suggest(trial))
                arch = self.evaluate.deploy(base)
                describe(trial, arch)
        except UpdateFinishedTrialError as error:
            self._teller.gave_up(trial, error)
            return None
        return trial, base, arch

    def _propose(
        self, trial: Trial, base: Architecture, arch: Architecture, flying: list[Proposal]
    ) -> Proposal | None:
        """Find out whether a trial is to be measured. None where it was told, or waits for its twin's end."""
        broken = self.limits.broken(arch) if self.limits else ()
        if broken:
            self._teller.pruned(trial, over_limit="; ".join(broken))
            return None
        if self.heartbeat:
            rival = self._rival(trial.number, arch.id, flying)
            if rival is not None:
                self._teller.pruned(trial, duplicate_of=rival)
                return None
        if arch.id in self.known:
            self._teller.again(trial, self.known[arch.id])
            return None
        twin = next((other for other in flying if other.id == arch.id), None)
        if twin is not None:
            twin.twins.append(trial)
            return None
        return Proposal(trial=trial, id=arch.id, base=base)

    def _measured(self, proposals: list[Proposal]) -> list[Evaluation | Exception]:
        """The proposals' latencies, measured at once where there are several; or why there is none."""

        def measured(proposal: Proposal) -> Evaluation | Exception:
            try:
                return self.evaluate.latency(proposal.base)
            except Exception as error:
                return error

        if len(proposals) == 1:
            return [measured(proposals[0])]
        threads = ThreadPoolExecutor(len(proposals))
        try:
            return list(threads.map(measured, proposals))
        finally:
            threads.shutdown(wait=False)

    def _promising(self, proposal: Proposal, measured: Evaluation | Exception) -> Flight | None:
        """What is to be trained; None where the trial was told."""
        trial = proposal.trial
        if isinstance(measured, Exception):
            self._teller.failed(trial, first_line(measured))
            return None
        self._teller.measured(trial, measured)
        if self.evaluate.too_slow(measured):
            self._teller.pruned(trial)
            return None
        watch = Watch(
            self.study,
            self.folder.database,
            (trial.number, trial._trial_id),
            self.rule,
            self.folder.settings,
        )
        return Flight(
            trial=trial,
            id=proposal.id,
            base=proposal.base,
            twins=proposal.twins,
            measured=measured,
            watch=watch,
        )

    def _rival(self, number: int, id: str, flying: list[Proposal]) -> int | None:
        """An earlier trial of another search that is at the same network; of two that meet, the later yields.

        Those that are still being proposed are waited for, once: what they are decides.
        """
        mine = {proposal.trial.number for proposal in flying}
        until = time.monotonic() + PROPOSING_SECONDS
        while True:
            running = in_state("RUNNING", self._refreshed(anew=False))
            earlier = [row for row in running if row.number < number and row.number not in mine]
            rival = next((row.number for row in earlier if row.id == id), None)
            unknown = {row.number for row in earlier if not row.id} - self._silent
            if rival is not None or not unknown:
                return rival
            if time.monotonic() > until:
                self._silent |= unknown
            time.sleep(0.1)

    def _refreshed(self, anew: bool = True) -> list[Row]:
        """The rows, with what other searches found and without their dead; `anew` as Book has it."""
        if self.heartbeat:
            self.heartbeat.bury()
        rows = self._book.rows(anew)
        for row in self._book.news():
            if row.id and _is_known(row):
                first = self.known.setdefault(row.id, row)
                if first.number == row.number:  # it may have been measured anew
                    self.known[row.id] = row
        return rows

    def _submit(self, flight: Flight) -> None:
        flight.attempts += 1
        flight.started, flight.overdue = None, False
        training = self.evaluate.training(
            flight.watch, f"training {flight.id} of trial {flight.trial.number}"
        )
        future = self.workers.submit(training, flight.base, flight.measured)
        self.flights[future] = flight

    def _ended(self) -> set[Future[Any]]:
        """Wait for a training to end; one that takes too long is ended."""
        while True:
            done, _ = wait(self.flights, timeout=self._until_overdue(), return_when=FIRST_COMPLETED)
            if done or self.trial_timeout is None:
                return done
            self._end_overdue()

    def wait_for_all(self) -> None:
        """Until no training runs; one that takes too long is ended. What they came to is taken in later."""
        while running := [future for future in list(self.flights) if not future.done()]:
            wait(running, timeout=self._until_overdue(), return_when=FIRST_COMPLETED)
            self._end_overdue()

    def _end_overdue(self) -> None:
        for future, flight in list(self.flights.items()):
            if self.trial_timeout is None or flight.started is None or flight.overdue or future.done():
                continue
            if time.monotonic() - flight.started > self.trial_timeout:
                flight.overdue = True
                self.workers.kill(future)

    def _until_overdue(self) -> float | None:
        """Seconds until a training may be overdue. The time in a cluster's queue is none of a training's."""
        if self.trial_timeout is None:
            return None
        now = time.monotonic()
        running = {future: flight for future, flight in list(self.flights.items()) if not future.done()}
        for future, flight in running.items():
            if flight.started is None and future.running():
                flight.started = now
        left = [
            WAITING_SECONDS if flight.started is None else flight.started + self.trial_timeout - now
            for flight in running.values()
            if not flight.overdue
        ]
        return max(0.01, min(left)) if left else None

    def _land(self, future: Future[Any], rows: list[Row], stop: Stop) -> list[Row]:
        """Tell what a training came to, or try it again."""
        flight = self.flights.pop(future)
        error = future.exception()
        if error is None:
            self._teller.evaluated(flight.trial, future.result(), flight.measured.attributes())
        else:
            reason = _why(error, flight, self.trial_timeout)
            if flight.attempts <= self.retries and not stop.asked:
                self.progress.note(f"trial {flight.trial.number} is tried again: {reason}")
                self._submit(flight)
                return rows
            self._teller.failed(flight.trial, reason)
        return self._landed(flight, rows)

    def _landed(self, ended: Proposal, rows: list[Row]) -> list[Row]:
        """Write down and show that a trial has ended, and tell its twins."""
        rows = self._after(ended.trial.number, rows)
        for trial in ended.twins:
            known = self.known.get(ended.id)
            if known is None:
                self._teller.failed(
                    trial, f"the same network as trial {ended.trial.number}, which has no accuracy"
                )
            else:
                self._teller.again(trial, known)
            rows = self._after(trial.number, rows)
        return rows

    def _after(self, number: int, rows: list[Row]) -> list[Row]:
        """Write down and show that a trial has ended, unless it waits for its twin."""
        rows = self._with_measured_front(self._refreshed())
        row = next(row for row in reversed(rows) if row.number == number)
        if row.state == "RUNNING":
            return rows
        self._write(rows)
        self.progress.trial(row, rows)
        self.after_trial(rows)
        # Another machine's failures are its own; where this one is healthy, the search goes on.
        settings = self.folder.settings
        mine = [row for row in rows if row.number in self._asked]
        check_hopeless(mine, settings.targets, settings.max_latency_factor)
        return rows

    def _write(self, rows: list[Row]) -> None:
        """Write the folder's files; with very many trials not after each."""
        at, took = self._written
        start = time.monotonic()
        if start - at >= took / WRITING_SHARE:
            self.folder.write(rows, self.found)
            self._written = (time.monotonic(), time.monotonic() - start)

    def _with_measured_front(self, rows: list[Row]) -> list[Row]:
        """The rows; where predictions are measured as they reach the front, until none on it is predicted."""
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
