"""Signs of life of the trials in flight, so that those of a dead search are found and tried again."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from nas.storage import GRACE_SECONDS, HEARTBEAT_SECONDS, enqueue_again

if TYPE_CHECKING:
    from optuna import Study


class Heartbeat:
    """Tells a shared study every few seconds that its trials `begin` to `end` are alive."""

    def __init__(self, study: Study, seconds: float = HEARTBEAT_SECONDS) -> None:
        self._study, self._seconds = study, seconds
        self._alive: set[int] = set()
        self._stop = Event()
        self._looked = self._patient_until = 0.0
        self._thread = Thread(target=self._beat, daemon=True)
        self._thread.start()

    def begin(self, trial_id: int) -> None:
        """A trial has been asked for."""
        self._record(trial_id)
        self._alive.add(trial_id)

    def end(self, trial_id: int) -> None:
        """A trial has been told."""
        self._alive.discard(trial_id)

    def close(self) -> None:
        """Send no more; trials that are still in flight will be taken up by others."""
        self._stop.set()
        self._thread.join()

    def bury(self) -> None:
        """Fail the trials of dead searches and queue their points again; looks every few seconds at most."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.storages import fail_stale_trials
        from optuna.trial import TrialState

        if time.monotonic() - self._looked < self._seconds:
            return
        self._looked = time.monotonic()
        for trial_id in list(self._alive):  # after an outage our own would look dead too
            self._record(trial_id)
        if time.monotonic() < self._patient_until:  # and so would the others', until they have told
            return
        fail_stale_trials(self._study)
        # One whose search died before its first sign of life, after which it has a worker, has none to go stale.
        old = datetime.now() - timedelta(seconds=10 * GRACE_SECONDS)
        for trial in self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            silent = (
                "worker" not in trial.user_attrs
                and trial.datetime_start is not None
                and trial.datetime_start < old
            )
            with suppress(UpdateFinishedTrialError):  # another search was quicker
                if silent and self._study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL):
                    enqueue_again(self._study, trial)

    def _beat(self) -> None:
        while not self._stop.wait(self._seconds):
            for trial_id in list(self._alive):
                self._record(trial_id)

    def _record(self, trial_id: int) -> None:
        backend: Any = getattr(self._study._storage, "_backend", self._study._storage)
        start = time.monotonic()
        backend.record_heartbeat(trial_id)
        if time.monotonic() - start > self._seconds:  # the server was away
            self._patient_until = time.monotonic() + GRACE_SECONDS
