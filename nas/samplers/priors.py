"""What is believed of points before any was trained: columns for the surrogate to weigh as it sees fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from optuna import Study
from threadpoolctl import threadpool_limits

from candidates import Architecture
from candidates.errors import InputError
from nas.samplers.encoding import Encoding, Prior
from nas.samplers.history import history_of
from nas.samplers.model import Fitter
from nas.samplers.thinning import thinned
from nas.samplers.view import View

if TYPE_CHECKING:
    from torch import Tensor

    from search_space import Point

BATCH = 64  # images that a gradient is taken of
_FEWEST = 5  # trials that an earlier run must have


def from_study(study: Study, view: View) -> Prior:
    """What a model of an earlier run expects of each point, as −log(error) or in that run's objective.

    The first points are taken where that is high.
    Trials whose points are not of this space are left out; an InputError where fewer than 5 are left.
    """
    history = history_of(study.get_trials(deepcopy=False), study.directions, view)
    evaluated = thinned(history).evaluated
    if len(evaluated) < _FEWEST:
        raise InputError(
            f"the earlier run has {len(evaluated)} trained candidates of this space; expected at least {_FEWEST}"
        )
    fitted = Fitter(view, Encoding(view)).fit(evaluated)
    return Prior(lambda points: fitted.predict(points)[0][:, None], leads=True)


def from_scores(view: View, *scores: Callable[[Point], float], seed: int = 0, count: int = 64) -> Prior:
    """Smooth functions through the `scores` of `count` random points, for scores that take long to compute.

    A score might be a zero-cost score of the network at initialisation. Where the first points are, it does
    not decide: a network whose gradients are large need not be a good one.
    """
    rng = np.random.default_rng(seed)
    points = [view.sample(rng) for _ in range(count)]
    fitter, smooth = Fitter(view, Encoding(view)), []
    for number, score in enumerate(scores):
        values = [score(point) for point in points]
        if not np.isfinite(values).all():
            raise InputError("a score is not finite; expected a number for every point")
        smooth.append(fitter.smooth(f"score {number}", points, values))
    return Prior(lambda points: np.stack([function(points) for function in smooth], axis=1))


def synflow(arch: Architecture, seed: int = 0) -> float:
    """The logarithm of synaptic flow: Σ |w · ∂R/∂w| with |w| for weights and ones for the image.

    Tanaka et al., arXiv 2006.05467, as a score of architectures by Abdelfattah et al., arXiv 2101.08134.
    """
    import torch

    from candidates import build

    network = build(arch, seed).double().eval()
    with torch.no_grad():
        for value in network.state_dict().values():
            value.abs_()
    image = torch.ones(1, arch.channels_in, arch.resolution, arch.resolution, dtype=torch.float64)
    with threadpool_limits(limits=1):  # one small image leaves threads nothing to share
        network(image).sum().backward()
    flow = sum(float((p * p.grad).abs().sum().detach()) for p in network.parameters() if p.grad is not None)
    return float(np.log(flow))


def gradient_norm(arch: Architecture, images: Tensor, labels: Tensor, seed: int = 0) -> float:
    """The logarithm of the gradient's Euclidean norm at initialisation, on one batch (N×C×H×W, N)."""
    import torch

    from candidates import build

    torch.manual_seed(seed)
    network = build(arch, seed, dropout=0.0)
    torch.nn.functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
    squares = [float((p.grad**2).sum()) for p in network.parameters() if p.grad is not None]
    return 0.5 * float(np.log(sum(squares)))
