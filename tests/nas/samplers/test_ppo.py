"""The policy follows the trials in their order, whichever of them ends last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas.samplers import ppo
from nas.samplers.history import Observation
from nas.samplers.ppo import PPOSampler
from nas.samplers.view import view_of


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many observations each update went up to."""
    found: list[int] = []
    learn = ppo._Policy.learn

    def counted(policy: Any, observations: Any) -> None:
        found.append(len(observations))
        learn(policy, observations)

    monkeypatch.setattr(ppo._Policy, "learn", counted)
    return found


def test_a_trial_that_ends_late_changes_the_last_batches_alone(small: Any, learned: list[int]) -> None:
    view, rng = view_of(small), np.random.default_rng(0)
    points = [view.sample(rng) for _ in range(60)]
    every = tuple(Observation(n, point, (0.5 + 0.005 * n,)) for n, point in enumerate(points))
    late = every[:43] + every[44:]  # trial 43 is still in flight
    one = PPOSampler(small, seed=0)
    before = one._policy_after(view, late)
    assert learned == [10, 20, 30, 40, 50]
    learned.clear()
    after = one._policy_after(view, every)
    assert learned == [50, 60]
    fresh = PPOSampler(small, seed=0)._policy_after(view, every)
    for policy, same in ((after, True), (before, False)):
        drawn = policy.controller.sample(8, np.random.default_rng(1))
        assert np.array_equal(drawn, fresh.controller.sample(8, np.random.default_rng(1))) == same
    weights = [p.detach().numpy() for p in after.controller.parameters()]
    expected = [p.detach().numpy() for p in fresh.controller.parameters()]
    assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))
