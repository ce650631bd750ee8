"""Stopping hopeless trainings early, with one objective or two.

Optuna refuses to prune with several objectives, since a value alone says nothing there. Here a training is
judged against its rivals: with one objective all earlier ones, by accuracy times what the latency makes of
it; with two, those that are no slower, by accuracy, since a candidate behind most of them has no place on the
front. The search keeps each trial's accuracies by epoch in the user attribute `curve`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from candidates import checks
from nas.samplers.seeding import decided

CURVE = "curve"
_FEWEST = 5  # rivals that must have come as far before one is stopped

Rule = Callable[[Sequence[float], Sequence[Sequence[float]], int], bool]
"""From a curve, its rivals' and how many trials came before, whether to stop."""


def median(curve: Sequence[float], rivals: Sequence[Sequence[float]], number: int) -> bool:
    """Stop where the best so far is below the median of the rivals at the same epoch.

    Golovin et al., Google Vizier, 2017, section 3.2.2.
    """
    epoch = len(curve)
    reached = [rival[epoch - 1] for rival in rivals if len(rival) >= epoch]
    return len(reached) >= _FEWEST and max(curve) < float(np.median(reached))


@dataclass(frozen=True)
class Hyperband:
    """Stop at epochs 1, η, η², … whoever is not in the best 1/η of those that came so far.

    Trials take turns in brackets, which start at later and later rungs, so that slow starters get a chance
    (Li et al., arXiv 1603.06560; asynchronously as in arXiv 1810.05934).
    """

    epochs: int
    factor: int = 3

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which it is decided, the last one left out: who got there is done."""
        found = [1]
        while found[-1] * self.factor < self.epochs:
            found.append(found[-1] * self.factor)
        return tuple(rung for rung in found if rung < self.epochs)

    def __call__(self, curve: Sequence[float], rivals: Sequence[Sequence[float]], number: int) -> bool:
        rungs = self.rungs
        if not rungs or len(curve) not in rungs[number % len(rungs) :]:
            return False
        epoch = len(curve)
        reached = [rival[epoch - 1] for rival in rivals if len(rival) >= epoch]
        if len(reached) < _FEWEST:
            return False
        better = sum(value > curve[-1] for value in reached)
        return better >= (len(reached) + 1) / self.factor


def rule_of(name: str, epochs: int) -> Rule | None:
    """The rule called `hyperband`, `median` or `none` (None); an InputError for another name."""
    checks.one_of("the pruner", name, ("hyperband", "median", "none"))
    rules: Mapping[str, Rule] = {"hyperband": Hyperband(epochs), "median": median}
    return rules.get(name)


def should_stop(
    rule: Rule,
    trial: FrozenTrial,
    curve: Sequence[float],
    earlier: Sequence[FrozenTrial],
    weigh: Callable[[FrozenTrial], float] | None,
) -> bool:
    """Whether `trial`, with accuracies `curve` by epoch so far, is hopeless against the `earlier` trials.

    `weigh(trial)` is what the trial's accuracy is multiplied by for the reward, known from its latency; None
    stands for two objectives, accuracy and `latency_ms`.
    """
    # What has failed is no rival: a trial that was lost is trained again, and would be its own.
    others = [
        t
        for t in earlier
        if t.number != trial.number and t.user_attrs.get(CURVE) and t.state is not TrialState.FAIL
    ]
    running = (t.number for t in earlier if t.state is TrialState.RUNNING)
    before = sum(number < trial.number for number in (*(t.number for t in decided(earlier)), *running))
    if weigh is None:
        mine = trial.user_attrs["latency_ms"]
        rivals = [t.user_attrs[CURVE] for t in others if t.user_attrs.get("latency_ms", np.inf) <= mine]
        return rule(curve, rivals, before)
    weight = weigh(trial)
    scaled = [[weigh(t) * value for value in t.user_attrs[CURVE]] for t in others]
    return rule([weight * value for value in curve], scaled, before)


def epochs_saved(trials: Sequence[FrozenTrial], epochs: int) -> int:
    """How many epochs were not trained because trainings were stopped."""
    stopped = (t for t in trials if t.state is TrialState.PRUNED and t.user_attrs.get(CURVE))
    return sum(max(0, epochs - len(t.user_attrs[CURVE])) for t in stopped)
