"""A search whose measurements take no time, for benchmarks of what a search itself costs."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.samplers import BaseSampler

from candidates import Architecture
from nas.evaluation import Evaluator
from nas.heartbeat import Heartbeat
from nas.prepared import limits_of
from nas.progress import LOG, progress_on
from nas.run import too_slow
from nas.run_folder import create
from nas.search import Search
from nas.settings import SearchSettings
from nas.study import close, open_study
from search_space import FactorizedSpace, load_space, space_text

SPACE = "mnasnet"


@dataclass(frozen=True)
class Instant:
    """A measurement or a training that takes no time."""

    latency_ms: float = 0.0
    accuracy: float = 0.0
    loss: float = 1.0
    valid: bool = True
    stopped: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {"latency_ms": self.latency_ms, "valid": True, "reasons": []}


def measure(arch: Architecture) -> Instant:
    """A latency that nothing has to be measured for."""
    return Instant(latency_ms=arch.multiply_adds() / 1e6)


@contextmanager
def searching(
    settings: SearchSettings,
    sampler: Callable[[FactorizedSpace], BaseSampler],
    train: Callable[..., Any],
    kind: type[Search] = Search,
) -> Iterator[Any]:
    """A search of SPACE in a folder that is gone afterwards; `kind` may be a subclass."""
    with tempfile.TemporaryDirectory() as temporary:
        space = load_space(SPACE)
        folder = create(Path(temporary) / "run", settings, space_text(SPACE), {"name": "cpu"})
        study = open_study(folder.database, sampler(space), settings.objective, create=True)
        evaluate = Evaluator(
            deploy=lambda base: base.for_input(32, 3, 10),
            measure=measure,
            train=train,
            too_slow=too_slow(settings),
            seed=settings.seed,
        )
        heart = Heartbeat(study) if folder.database.shared else None
        progress = progress_on(io.StringIO(), settings, folder.path / LOG, plain=True)
        limits = limits_of(settings)
        try:
            yield kind(folder, study, space, evaluate, {}, progress, limits=limits, heartbeat=heart)
        finally:
            if heart:
                heart.close()
            close(study)
