"""How the search chooses what to try next: Optuna samplers by name.

Every sampler made here draws as a function of the seed and of the study's decided trials (see `seeding`), so
an interrupted search that is resumed proposes what it would have proposed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from candidates import checks

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.samplers.encoding import Prior
    from nas.samplers.surrogate import LatencyOf, WeightOf
    from nas.samplers.view import View
    from search_space import FactorizedSpace

POPULATION = 20  # of NSGA-II; Optuna's 50 leaves a search of 100 trials one generation of selection


def _tpe(seed: int) -> BaseSampler:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed)


def _nsga2(seed: int) -> BaseSampler:
    from nas.samplers.nsga2 import ResumableNSGAIISampler

    return ResumableNSGAIISampler(population_size=POPULATION, seed=seed)


def _random(seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


_OPTUNA: dict[str, Callable[[int], BaseSampler]] = {"tpe": _tpe, "nsga2": _nsga2, "random": _random}


def names() -> tuple[str, ...]:
    """The names that `make` knows, the default first."""
    return ("surrogate", "evolution", "ppo", *_OPTUNA)


def make(
    name: str,
    space: FactorizedSpace | View | None = None,
    *,
    seed: int = 0,
    latency: LatencyOf | None = None,
    weight: WeightOf | None = None,
    noise: float | None = None,
    prior: Prior | None = None,
    limit: float | None = None,
) -> BaseSampler:
    """The sampler called `name` for a study whose trials are points of `space`.

    Without a `space`, ours learn the parameters from the study. `latency`, `weight`, `noise`, `prior` and
    `limit` are what is known besides the trials (see `SurrogateSampler`); other samplers ignore them.
    Raises InputError for an unknown name, listing the known ones.
    """
    checks.one_of("the sampler", name, names())
    checks.integer("the seed", seed, minimum=0)
    from nas.samplers.limits import LimitedView

    if name == "random" and isinstance(space, LimitedView):
        from nas.samplers.uniform import UniformSampler

        return UniformSampler(space, seed=seed)
    if name in _OPTUNA:
        from nas.samplers.seeding import PerTrial

        return PerTrial(_OPTUNA[name], seed=seed)
    if name == "evolution":
        from nas.samplers.evolution import EvolutionSampler

        return EvolutionSampler(space, seed=seed)
    if name == "ppo":
        from nas.samplers.ppo import PPOSampler

        return PPOSampler(space, seed=seed)
    from nas.samplers.surrogate import SurrogateSampler

    return SurrogateSampler(
        space, seed=seed, latency=latency, weight=weight, noise=noise, prior=prior, limit=limit
    )
