"""A search beside others: their dead, their failures, their networks, and the queue for workers."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Timer
from typing import Any

from optuna.trial import TrialState

from nas.search import Search
from nas.stopping import Stop
from tests.nas.conftest import Lab


class DeadRival:
    """Stands for the signs of life in a study where another search died with two trials in flight."""

    def __init__(self, work: Search) -> None:
        self.work = work
        self.dead = [work.study.ask() for _ in range(2)]
        for trial in self.dead:
            work.space.suggest(trial)

    def begin(self, trial_id: int) -> None: ...

    def end(self, trial_id: int) -> None: ...

    def bury(self) -> None:
        """Found dead as soon as one of ours is complete."""
        if any(trial.state.name == "COMPLETE" for trial in self.work.study.trials):
            for trial in self.dead:
                self.work.study.tell(trial, state=TrialState.FAIL)
                self.work.study.enqueue_trial(trial.params)
            self.dead = []


class Threads(ThreadPoolExecutor):
    count = 2

    def kill(self, future: Future[Any]) -> None: ...


def test_no_more_is_asked_for_than_the_dead_leave_to_do(lab: Lab) -> None:
    work = lab.open(lab.settings(trials=3, target_ms=30.0, sampler="random"))
    work = replace(work, heartbeat=DeadRival(work))  # type: ignore[arg-type]
    with Threads(2) as work.workers:
        rows = work.run(Stop(print))
    assert [row.state for row in rows] == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert not work.study.get_trials(states=[TrialState.WAITING])


def test_another_machines_failures_do_not_end_the_search(lab: Lab) -> None:
    def elsewhere(count: int) -> None:
        for _ in range(5 if count == 0 else 0):
            trial = work.study.ask()
            work.space.suggest(trial)
            trial.set_user_attr("failed_because", "no driver")
            work.study.tell(trial, state=TrialState.FAIL)

    lab.before_training = elsewhere
    work = lab.open(lab.settings(trials=2, sampler="random", target_ms=30.0))
    rows = work.run(Stop(print))
    assert [row.state for row in rows].count("COMPLETE") == 2


def test_a_network_that_another_search_is_about_to_propose_is_waited_for(lab: Lab) -> None:
    work = lab.open(lab.settings(sampler="random"))
    theirs = work.study.ask()
    later = Timer(0.3, theirs.set_user_attr, ("id", "theirs"))
    later.start()
    assert work._rival(1, "theirs", []) == 0
    later.join()
    assert work._rival(1, "another", []) is None
    assert work._rival(0, "theirs", []) is None  # an earlier one never yields


class Queue:
    """A cluster that is busy with others' work for a while."""

    count = 1

    def __init__(self) -> None:
        self.killed: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        Timer(0.6, future.set_running_or_notify_cancel).start()
        Timer(0.7, lambda: future.set_result(fn(*args))).start()
        return future

    def kill(self, future: Future[Any]) -> None:
        self.killed.append(future)


def test_the_time_in_a_clusters_queue_is_none_of_a_trainings(lab: Lab) -> None:
    work = lab.open(lab.settings(trials=1, trial_timeout=0.3, target_ms=30.0))
    work.workers = queue = Queue()  # type: ignore[assignment]
    rows = work.run(Stop(print))
    assert rows[0].state == "COMPLETE"
    assert not queue.killed
