"""What a search's trainings will take on this machine, found out by a few of them."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, replace
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from candidates import Architecture
from candidates.errors import RunError
from nas.evaluation import Train
from nas.storage import first_line
from nas.workers.making import chosen_gpus, own_device, training_on, workers_of

if TYPE_CHECKING:
    from nas.settings import SearchSettings
    from nas.workers.training import ProxyTraining
    from search_space import FactorizedSpace

FORMAT = 1
LEAST = 3  # candidates that are trained, and at least two for each worker
LOOKS_SECONDS = 1.0  # between looks at the GPUs
_NVIDIA_SMI = (
    "nvidia-smi", "--query-gpu=uuid,name,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One candidate's training: seconds with its evaluation, images trained on a second, and what it used.

    `peak_rss_mb` is the worker's so far; `gpu_mb` what its network and data took on the GPU at most.
    """

    id: str
    multiply_adds: int
    seconds: float
    images_per_second: float
    threads: int
    peak_rss_mb: float | None
    gpu_mb: float | None


@dataclass(frozen=True)
class GpuUse:
    """A GPU while the candidates trained: its name, the mean of its utilisation (0 to 1) and its most memory."""

    name: str
    utilisation: float
    memory_mb: float
    memory_total_mb: float


@dataclass(frozen=True)
class Findings:
    """What some candidates' trainings took, all workers at work."""

    device: str
    workers: int
    data: dict[str, Any]
    epochs: int
    batch: int
    samples: tuple[Sample, ...]
    trials: int
    gpus: tuple[GpuUse, ...]

    @property
    def candidates_per_hour(self) -> float:
        """All workers together."""
        return 3600 * self.workers * len(self.samples) / sum(sample.seconds for sample in self.samples)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        hours = self.trials / self.candidates_per_hour
        derived = {"candidates_per_hour": self.candidates_per_hour, "hours_of_training": hours}
        return {"format": FORMAT, **asdict(self), **derived}


@dataclass(frozen=True)
class Probe:
    """Trains a candidate where a search would, and looks at what that takes."""

    train: Train

    def __call__(self, trained: Architecture, arch: Architecture, seed: int) -> Sample:
        """Train `arch`, which the proxy makes `trained` of."""
        import torch

        gpu = torch.cuda.is_available()
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        outcome = self.train(arch, seed)
        return Sample(
            arch.id,
            trained.multiply_adds(),
            time.perf_counter() - start,
            outcome.images_per_second,  # type: ignore[attr-defined] # the proxy's outcome has it
            torch.get_num_threads(),
            peak_rss_mb(),
            torch.cuda.max_memory_allocated() / 1e6 if gpu else None,
        )


def benchmark_proxy(settings: SearchSettings, space: FactorizedSpace, training: ProxyTraining) -> Findings:
    """Train a few random candidates of `space` with the settings' data, recipe and workers."""
    proxy = replace(training, device=own_device(settings)).proxy()
    rng = np.random.default_rng(settings.seed)
    with workers_of(settings) as workers:
        archs = [space.decode(space.sample(rng)) for _ in range(max(LEAST, 2 * workers.count))]
        train = training_on(workers, proxy, training)
        # A process's first training starts it, loads the data and warms up; one epoch of it does.
        wait([workers.submit(train, archs[0], 0, _stop) for _ in range(workers.count)])
        with GpuLog(settings) as log:
            futures = [workers.submit(Probe(train), proxy.architecture(arch), arch, 0) for arch in archs]
            samples = tuple(_result(arch, future) for arch, future in zip(archs, futures, strict=True))
    return Findings(
        str(proxy.placed.train[0].device),
        workers.count,
        proxy.data.describe(),
        proxy.recipe.epochs,
        proxy.recipe.batch,
        samples,
        settings.trials,
        log.used(),
    )


def _result(arch: Architecture, future: Future[Sample]) -> Sample:
    error = future.exception()
    if error is not None:
        raise RunError(f"candidate {arch.id} could not be trained: {first_line(error)}")
    return future.result()


def _stop(accuracy: float) -> bool:
    """A watch that ends a training after its first epoch."""
    return True


def peak_rss_mb() -> float | None:
    """The most memory that this process has had so far, in MB; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


class GpuLog:
    """Looks at this machine's GPUs every second while the block runs, by nvidia-smi, where there are any."""

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        self._looks: list[dict[str, GpuUse]] = []
        self._stop = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> GpuLog:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        self._thread.join()

    def used(self) -> tuple[GpuUse, ...]:
        """The GPUs that the search uses; none on a cluster, whose GPUs are elsewhere."""
        import torch

        if not self._looks or not torch.cuda.is_available() or self._settings.ray is not None:
            return ()
        # PyTorch and nvidia-smi count GPUs differently, and the latter those too that this process may not use.
        numbers = [0] if self._settings.gpus is None else chosen_gpus(self._settings)
        names = [str(torch.cuda.get_device_properties(number).uuid) for number in numbers]
        found = [[look[name] for look in self._looks if name in look] for name in names]
        return tuple(
            replace(
                looks[0],
                utilisation=sum(look.utilisation for look in looks) / len(looks),
                memory_mb=max(look.memory_mb for look in looks),
            )
            for looks in found
            if looks
        )

    def _look(self) -> None:
        while True:
            try:
                text = subprocess.run(
                    _NVIDIA_SMI, capture_output=True, text=True, timeout=10, check=True
                ).stdout
                self._looks.append(parsed(text))
            except (OSError, subprocess.SubprocessError, ValueError):
                return  # no such program, no such GPU, or words that are not known
            if self._stop.wait(LOOKS_SECONDS):
                return


def parsed(text: str) -> dict[str, GpuUse]:
    """What nvidia-smi said of each GPU, by the UUID that PyTorch knows it by; ValueError for anything else."""
    found = {}
    for line in text.strip().splitlines():
        about, percent, used, total = line.rsplit(",", 3)
        uuid, _, name = about.partition(",")
        found[uuid.strip().removeprefix("GPU-")] = GpuUse(
            name.strip(), float(percent) / 100, float(used), float(total)
        )
    return found
