"""What the study is told of a trial: what it is, what was measured, what it came to or why it has failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from candidates import Architecture
from nas.evaluation import Evaluation
from nas.flights import Progress
from nas.samplers.history import WORST
from nas.settings import SearchSettings
from nas.targets import latencies_of
from nas.trial_storage import together
from nas.trials import Row, architecture_text

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

    from nas.heartbeat import Heartbeat


@dataclass(frozen=True)
class Teller:
    """Tells `study`. With a `heartbeat` others may have given a trial up for dead meanwhile."""

    study: Study
    settings: SearchSettings
    progress: Progress
    heartbeat: Heartbeat | None = None

    def measured(self, trial: Trial, found: Evaluation) -> None:
        """Write down a latency before the training: the rule that stops trainings weighs accuracies by it."""
        with self._unless_given_up(trial), together(self.study):
            _keep(trial, found, {})
            if self.settings.also:  # samplers then see how slow it is on the device where it misses most
                worst = self.settings.targets.worst(latencies_of(found.latency_ms, found.measurement))
                trial.set_user_attr(WORST, worst * self.settings.target_ms)

    def evaluated(self, trial: Trial, found: Evaluation, kept: Mapping[str, Any]) -> None:
        """End a trial with what its evaluation found; `kept` is what the study has of it already."""
        with self._unless_given_up(trial):
            self._evaluated(trial, found, kept)

    def _evaluated(self, trial: Trial, found: Evaluation, kept: Mapping[str, Any]) -> None:
        with together(self.study):
            _keep(trial, found, kept)
            if found.accuracy is None:
                self._end(trial, state=TrialState.PRUNED)
                return
            score = self.settings.targets.reward(
                found.accuracy, latencies_of(found.latency_ms, found.measurement)
            )
            trial.set_user_attr("reward", score)
            pareto = self.settings.objective == "pareto"
            self._end(trial, [found.accuracy, found.latency_ms] if pareto else score)

    def again(self, trial: Trial, known: Row) -> None:
        """Answer a second visit from what is known of the same network."""
        assert known.latency_ms is not None
        with self._unless_given_up(trial):
            trial.set_user_attr("duplicate_of", known.number)
            found = Evaluation(known.latency_ms, dict(known.measurement), known.accuracy, known.loss)
            self._evaluated(trial, found, {})

    def pruned(self, trial: Trial, **why: object) -> None:
        """End a trial that is not worth a training; `why` is written down with it."""
        with self._unless_given_up(trial):
            for name, value in why.items():
                trial.set_user_attr(name, value)
            self._end(trial, state=TrialState.PRUNED)

    def failed(self, trial: Trial, reason: str) -> None:
        """End a trial that came to nothing."""
        with self._unless_given_up(trial):
            trial.set_user_attr("failed_because", reason)
            self._end(trial, state=TrialState.FAIL)

    def gave_up(self, trial: Trial, error: UpdateFinishedTrialError) -> None:
        """Let go of a trial that others gave up for dead; raise the `error` where there are no others."""
        if self.heartbeat is None:
            raise error
        self.progress.note(f"trial {trial.number} was taken for dead meanwhile; it is tried again")
        self.heartbeat.end(trial._trial_id)

    @contextmanager
    def _unless_given_up(self, trial: Trial) -> Iterator[None]:
        """Where others gave a trial up for dead (no sign of life for long), it is theirs, and that is no error."""
        try:
            yield
        except UpdateFinishedTrialError as error:
            self.gave_up(trial, error)

    def _end(
        self, trial: Trial, values: float | list[float] | None = None, state: TrialState | None = None
    ) -> None:
        self.study.tell(trial, values, state=state, skip_if_finished=self.heartbeat is not None)
        if self.heartbeat:
            self.heartbeat.end(trial._trial_id)


def describe(trial: Trial, arch: Architecture) -> None:
    """Write down what is known of a trial's architecture before anything is measured."""
    trial.set_user_attr("id", arch.id)
    trial.set_user_attr("architecture", architecture_text(arch))
    trial.set_user_attr("parameters", arch.parameters())
    trial.set_user_attr("multiply_adds", arch.multiply_adds())


def _keep(trial: Trial, evaluation: Evaluation, kept: Mapping[str, Any]) -> None:
    """Write down what is not kept yet."""
    for name, value in evaluation.attributes().items():
        if name not in kept or kept[name] != value:
            trial.set_user_attr(name, value)
