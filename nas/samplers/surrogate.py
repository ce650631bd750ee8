"""The default sampler: a Gaussian process of the accuracy over the architecture, and what is known besides.

Latency is known before training, so only the accuracy is modelled, as −log(error), in which effects add up;
the reward follows from it. The next point has the greatest expected improvement, over the best estimate so
far rather than over the luckiest observation; with two objectives, the greatest expected growth of the area
that the front covers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from optuna import Study
from threadpoolctl import threadpool_limits

from candidates import checks
from nas.samplers import acquisition
from nas.samplers.climbing import best_untaken
from nas.samplers.distributions import DistributionView, distributions_of
from nas.samplers.encoding import Encoding, Prior
from nas.samplers.gaussian_process import Array
from nas.samplers.history import History, Observation, history_of
from nas.samplers.model import Fitted, Fitter
from nas.samplers.proposing import ProposingSampler
from nas.samplers.thinning import thinned
from nas.samplers.untaken import several_untaken
from nas.samplers.view import View
from search_space import FactorizedSpace, Point

LatencyOf = Callable[[Sequence[Point]], Array]
WeightOf = Callable[[Array], Array]
Judge = Callable[[Sequence[Point]], Callable[[Array, Array], Array]]
"""For some points, what is to be expected of them by the mean and the deviation of what is modelled."""

_FIRST = 5  # points before the model decides
_SPREAD = 32  # random points of which the first ones take the farthest from those before
_TO_LEARN = 3  # measured latencies from which others can be guessed
_TOO_SLOW = 20.0  # what log(latency / limit) takes off the logarithm of an expected improvement
_MARGIN = 0.3  # below the limit, in logarithm, for a latency that is only guessed
_MET = 4  # for each point that is proposed, so many of the best that were met are weighed against each other
_STARTS = 5  # best points from which the search for the next one climbs


class SurrogateSampler(ProposingSampler):
    """Models the objective over the points and proposes where improvement is expected.

    `latency(points)` gives milliseconds (or any cost in proportion) without measuring, `weight(latencies)`
    what an accuracy is multiplied by for the reward; each is estimated from the finished trials where it is
    not given. Candidates slower than `limit` are not trained, so they are avoided. `prior` is what is
    believed of points beforehand (see `priors`), `noise` the standard deviation of one accuracy (0 to 1)
    where it is known. In studies whose trials carry no `accuracy` the objective itself is modelled. One or
    two objectives; of two, the second is known beforehand (`latency`) or taken at its estimate.
    """

    def __init__(
        self,
        space: FactorizedSpace | View | None = None,
        *,
        seed: int = 0,
        latency: LatencyOf | None = None,
        weight: WeightOf | None = None,
        noise: float | None = None,
        prior: Prior | None = None,
        limit: float | None = None,
    ) -> None:
        super().__init__(space, seed=seed)
        self._latency = latency
        self._weight = weight
        self._noise = None if noise is None else checks.positive("the noise", noise)
        self._prior = prior
        self._limit = None if limit is None else checks.positive("the limit", limit)
        self._fitter: Fitter | None = None

    def propose(self, view: View, history: History, rng: np.random.Generator) -> Point:
        if self._begins(history):
            history = thinned(history)
            fitter = self._fitter_of(view)
            return self._first(fitter, view, history, self._fast_enough(fitter, history), rng)
        return self._modelled(view, history, rng, 1)[0]

    def propose_several(
        self, view: View, history: History, rng: np.random.Generator, count: int
    ) -> list[Point]:
        if self._begins(history):
            return super().propose_several(view, history, rng, count)
        return self._modelled(view, history, rng, count)

    def _begins(self, history: History) -> bool:
        """Whether too little is known for the model to decide."""
        checks.integer("the number of objectives", history.objectives, maximum=2)
        evaluated = history.evaluated
        return len(evaluated) < 2 or len(evaluated) + len(history.pending) < _FIRST

    def _modelled(self, view: View, history: History, rng: np.random.Generator, count: int) -> list[Point]:
        """The `count` points of which the model expects most."""
        history = thinned(history)
        evaluated, fitter = history.evaluated, self._fitter_of(view)
        fast = self._fast_enough(fitter, history)
        fitted = fitter.fit(evaluated)
        if history.pending:
            fitted = fitted.believing(history.pending)
        values = fitted.smooth()  # what improves on the luckiest observation need not be better than others
        if history.objectives == 1:
            weights = (
                np.array([_weight(found) for found in evaluated]) if fitted.error else np.ones(len(values))
            )
            judge = self._single(fitter, fitted, history, float((weights * values).max()))
            order = np.argsort(-weights * values, kind="stable")
        else:
            judge, front = self._double(fitter, fitted, history, values)
            order = rng.permutation(front)
        starts = [evaluated[int(i)].point for i in order[:_STARTS]]
        if fast is not None:
            judge = _slower_is_worse(judge, fast)

        def score(points: Sequence[Point]) -> Array:
            return judge(points)(*fitted.predict(points))

        if count == 1:
            return best_untaken(view, history, score, starts, rng)
        met = best_untaken(view, history, score, starts, rng, _MET * count)
        return _one_after_the_other(fitted, judge, met, count)

    def _first(
        self, fitter: Fitter, view: View, history: History, fast: LatencyOf | None, rng: np.random.Generator
    ) -> Point:
        """A point before the model decides: far from those before, and not one that is surely too slow."""
        points = several_untaken(view, history, rng, _SPREAD)
        if fast is not None:
            points = [point for point, over in zip(points, fast(points), strict=True) if over <= 0]
            if not points:
                measured = [found for found in history.observations if found.latency_ms]
                measured.sort(key=lambda found: found.latency_ms or 0.0)
                starts = [found.point for found in measured[:_STARTS]]
                return best_untaken(view, history, lambda near: -np.abs(fast(near) + _MARGIN), starts, rng)[0]
        if self._prior is not None and self._prior.leads:
            return points[int(np.argmax(self._prior.columns(points)[:, 0]))]
        return _far_point(fitter.encoding, history, points)

    def _fast_enough(self, fitter: Fitter, history: History) -> LatencyOf | None:
        """How far points are over the limit, as log(latency / limit); None where nothing was over it yet."""
        limit = self._limit
        times = [found.latency_ms for found in history.observations if found.latency_ms]
        if limit is None or len(times) < _TO_LEARN or max(times) <= limit:
            return None
        latency = self._latency_model(fitter, history)
        return lambda points: np.log(np.maximum(latency(points), 1e-9) / limit)

    def estimated(self, study: Study) -> dict[int, float]:
        """By trial number, what the model makes of each evaluated candidate's accuracy (of very many, the best's).

        In studies without accuracies, of the first objective, turned so that more is better.
        """
        trials = study.get_trials(deepcopy=False)
        view = self._view or DistributionView(distributions_of(trials))
        evaluated = thinned(history_of(trials, study.directions, view)).evaluated
        if len(evaluated) < _FIRST:
            return {found.number: _target(found) for found in evaluated}
        with threadpool_limits(limits=1):
            values = self._fitter_of(view).fit(evaluated).estimates(self._noise)
        return {found.number: float(value) for found, value in zip(evaluated, values, strict=True)}

    def _single(self, fitter: Fitter, fitted: Fitted, history: History, best: float) -> Judge:
        if not fitted.error:
            return lambda points: lambda mean, deviation: acquisition.log_improvement(mean, deviation, best)
        if self._weight is not None:
            weight, latency = self._weight, self._latency_model(fitter, history)

            def weights(points: Sequence[Point]) -> Array:
                return weight(latency(points))
        else:
            logarithms = fitter.smooth(
                "weight",
                [f.point for f in history.evaluated],
                [np.log(_weight(f)) for f in history.evaluated],
            )

            def weights(points: Sequence[Point]) -> Array:
                return np.asarray(np.exp(logarithms(points)))

        def judge(points: Sequence[Point]) -> Callable[[Array, Array], Array]:
            known = weights(points)
            return lambda mean, deviation: acquisition.log_reward_improvement(mean, deviation, known, best)

        return judge

    def _double(self, fitter: Fitter, fitted: Fitted, history: History, values: Array) -> tuple[Judge, Array]:
        """The judge of points, and the indices of the evaluated trials on the front."""
        evaluated = history.evaluated
        costs = np.array([-found.values[1] for found in evaluated if found.values is not None])
        latency: LatencyOf
        if self._latency is not None or fitted.error:
            latency = self._latency_model(fitter, history)
        else:
            latency = fitter.smooth("second", [found.point for found in evaluated], costs)
        pairs = np.stack([values, costs], axis=1)
        if history.pending:
            flying, _ = fitted.predict(history.pending)
            flying = 1.0 - np.exp(-flying) if fitted.error else flying
            pairs = np.concatenate([pairs, np.stack([flying, latency(history.pending)], axis=1)])
        # One step beyond the worst seen, so that the ends of the front count too.
        worst, reach = values.min(), costs.max()
        reference = (worst - 0.1 * (np.ptp(values) + 1e-12), reach + 0.1 * (np.ptp(costs) + 1e-12))
        front = [i for i in range(len(values)) if not _beaten(pairs[: len(values)], i)]

        def judge(points: Sequence[Point]) -> Callable[[Array, Array], Array]:
            known = latency(points)
            return lambda mean, deviation: acquisition.log_front_improvement(
                mean, deviation, known, pairs, reference, fitted.error
            )

        return judge, np.array(front)

    def _latency_model(self, fitter: Fitter, history: History) -> LatencyOf:
        if self._latency is not None:
            return self._latency
        measured = [found for found in history.observations if found.latency_ms]
        smooth = fitter.smooth(
            "latency",
            [found.point for found in measured],
            [np.log(found.latency_ms) for found in measured if found.latency_ms],
        )
        return lambda points: np.exp(smooth(points))

    def _fitter_of(self, view: View) -> Fitter:
        if self._fitter is None or self._fitter.view != view:
            self._fitter = Fitter(view, Encoding(view, self._prior))
        return self._fitter


def _slower_is_worse(judge: Judge, fast: LatencyOf) -> Judge:
    """The judge, with points that are over the limit marked down."""

    def strict(points: Sequence[Point]) -> Callable[[Array, Array], Array]:
        plain, over = judge(points), _TOO_SLOW * np.maximum(0.0, fast(points))
        return lambda mean, deviation: plain(mean, deviation) - over

    return strict


def _one_after_the_other(fitted: Fitted, judge: Judge, points: Sequence[Point], count: int) -> list[Point]:
    """The best of `points`, then the best once that one is believed to give what is expected of it, and so on.

    Such a belief leaves the expectations as they are and makes what is near surer.
    """
    mean, covariance = fitted.joint(points)
    score, left = judge(points), np.ones(len(points), dtype=bool)
    chosen: list[Point] = []
    for _ in range(min(count, len(points))):
        variance = np.maximum(covariance.diagonal(), 1e-12)
        best = int(np.argmax(np.where(left, score(mean, np.sqrt(variance)), -np.inf)))
        chosen.append(points[best])
        left[best] = False
        gain = covariance[best] / (variance[best] + fitted.process.noise**2)
        covariance = covariance - np.outer(gain, covariance[best])
    return chosen


def _weight(found: Observation) -> float:
    """Reward over accuracy."""
    assert found.values is not None
    return max(found.values[0], 1e-12) / max(found.accuracy or 0.0, 1e-12)


def _target(found: Observation) -> float:
    assert found.values is not None
    return found.values[0] if found.accuracy is None else found.accuracy


def _beaten(pairs: Array, index: int) -> bool:
    value, cost = pairs[index]
    no_worse = (pairs[:, 0] >= value) & (pairs[:, 1] <= cost)
    return bool((no_worse & ((pairs[:, 0] > value) | (pairs[:, 1] < cost))).any())


def _far_point(encoding: Encoding, history: History, points: Sequence[Point]) -> Point:
    """The one of `points` farthest from those before, so that the first few see different parts."""
    before = [found.point for found in history.observations] + list(history.pending)
    if not before:
        return points[0]
    rows, others = encoding.rows(points), encoding.rows(before)
    gaps = ((rows[:, None, :] - others[None, :, :]) ** 2).sum(axis=2).min(axis=1)
    return points[int(np.argmax(gaps))]
