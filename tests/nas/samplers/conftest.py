"""Spaces that the samplers' tests share."""

from __future__ import annotations

import math

import optuna
import pytest
from optuna.trial import TrialState

from nas import samplers
from search_space import FactorizedSpace, load_space

optuna.logging.set_verbosity(optuna.logging.WARNING)

SMALL = """\
format: 1
name: small
stem: 8
head: 32
resolution: 32
choices:
  op: [mbconv3, mbconv6]
  kernel: [3, 5]
  skip: [pool, identity, none]
  layers: [0, 1]
blocks:
  - {stride: 1, channels: 8, layers: 1}
  - {stride: 2, channels: 16, layers: 1}
"""


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> FactorizedSpace:
    """576 points, many of them the same network."""
    path = tmp_path_factory.mktemp("space") / "small.yaml"
    path.write_text(SMALL)
    return load_space(str(path))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> FactorizedSpace:
    """32 points."""
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(
        SMALL.replace("  skip: [pool, identity, none]\n", "")
        .replace("  layers: [0, 1]\n", "")
        .replace("op: [mbconv3", "op: [conv, mbconv3")
    )
    return load_space(str(path))


def accuracy_of(arch) -> float:
    """A made-up accuracy: larger is better, with diminishing returns, and a whim for each architecture."""
    return 0.45 + 0.07 * math.log10(arch.multiply_adds()) - 0.004 * (int(arch.id[:2], 16) / 255)


def _evaluate(trial, space, objectives=1, target=1.0, fate=TrialState.COMPLETE):
    """Ask `trial` for its point and tell what a search would: attributes, then the state."""
    arch = space.decode(space.suggest(trial))
    latency = arch.multiply_adds() / 1e6
    accuracy = accuracy_of(arch)
    trial.set_user_attr("id", arch.id)
    if fate == TrialState.FAIL:
        trial.set_user_attr("failed_because", "diverged")
        trial.study.tell(trial, state=fate)
        return arch.id
    trial.set_user_attr("latency_ms", latency)
    if fate == TrialState.PRUNED:
        trial.study.tell(trial, state=fate)
        return arch.id
    reward = accuracy * (latency / target) ** -0.07
    trial.set_user_attr("accuracy", accuracy)
    trial.set_user_attr("reward", reward)
    trial.study.tell(trial, [accuracy, latency] if objectives == 2 else reward)
    return arch.id


def _new_study(sampler, objectives=1):
    directions = ["maximize"] if objectives == 1 else ["maximize", "minimize"]
    return optuna.create_study(directions=directions, sampler=sampler)


@pytest.fixture
def evaluate():
    """Decides an asked trial as a search would."""
    return _evaluate


@pytest.fixture
def new_study():
    """Makes a study of one or two objectives for a sampler."""
    return _new_study


@pytest.fixture
def run():
    """A whole search with a sampler of the registry."""

    def search(name, space, trials, *, seed=0, objectives=1):
        study = _new_study(samplers.make(name, space, seed=seed), objectives)
        for _ in range(trials):
            _evaluate(study.ask(), space, objectives)
        return study

    return search
