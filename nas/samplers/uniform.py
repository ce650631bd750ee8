"""Random points of those within limits, which Optuna's random sampler knows nothing of."""

from __future__ import annotations

import numpy as np

from nas.samplers.history import History
from nas.samplers.proposing import ProposingSampler
from nas.samplers.view import View
from search_space import Point


class UniformSampler(ProposingSampler):
    """Proposes what the view draws, whatever was found before."""

    def propose(self, view: View, history: History, rng: np.random.Generator) -> Point:
        return view.sample(rng)
