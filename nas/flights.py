"""What a search has in flight, and what it needs of its surroundings: workers, and somewhere to show itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from optuna.trial import Trial

    from candidates import Architecture
    from nas.evaluation import Evaluation
    from nas.trials import Row
    from nas.watch import Watch


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


@dataclass(kw_only=True)
class Proposal:
    """A trial that is to be measured, and those that turned out to be the same network meanwhile."""

    trial: Trial
    id: str
    base: Architecture
    twins: list[Trial] = field(default_factory=list)


@dataclass(kw_only=True)
class Flight(Proposal):
    """A trial that is being trained."""

    measured: Evaluation
    watch: Watch
    attempts: int = 0
    started: float | None = None  # once a worker has it
    overdue: bool = False


def result_within(seconds: float | None, future: Future[Any], workers: Workers) -> Any:
    """A training's result; one that takes longer, from when a worker has it, is ended with a TimeoutError."""
    started = None
    while not wait([future], None if seconds is None else min(1.0, seconds)).done:
        if started is None and future.running():
            started = time.monotonic()
        if started is not None and seconds is not None and time.monotonic() - started > seconds:
            workers.kill(future)
            raise TimeoutError(f"it took longer than {seconds:g} s")
    return future.result()
