"""The workers that a search's settings ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from candidates.errors import InputError
from nas.workers.cluster import ClusterTraining, RayWorkers, Tell
from nas.workers.inline import Inline
from nas.workers.seats import Seat, Seats

if TYPE_CHECKING:
    from nas.evaluation import Train, Watch
    from nas.flights import Workers
    from nas.proxy import Proxy
    from nas.settings import SearchSettings
    from nas.workers.full_training import Cluster
    from nas.workers.training import ProxyTraining

MPS = "CUDA_MPS_PIPE_DIRECTORY"
VISIBLE = "CUDA_VISIBLE_DEVICES"
MPS_FOLDER = "/tmp/nvidia-mps"  # where the daemon puts its pipes unless it is told otherwise


@contextmanager
def workers_of(settings: SearchSettings, tell: Tell = lambda worker, text: None) -> Iterator[Workers]:
    """The workers, ended with the block: at once where it ends with an error or an interrupt.

    `tell` learns what each of them does. While the block runs, this process keeps to the cores that are set aside for measuring, if any are.
    """
    workers: Seats | RayWorkers
    before = _cores()
    if settings.ray is not None:
        workers = RayWorkers(settings.ray, settings.workers, gpus=_gpu_share(settings), tell=tell)
    else:
        seats = seats_of(settings)
        if not seats:
            yield Inline()
            return
        workers = Seats(seats, tell)
    try:
        if settings.measure_cores:
            os.sched_setaffinity(0, set(before[: settings.measure_cores]))
        yield workers
    except BaseException:
        workers.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        if settings.measure_cores:
            os.sched_setaffinity(0, set(before))
    workers.shutdown()


def check_workers(settings: SearchSettings) -> None:
    """An InputError for workers that cannot be, or that another option makes meaningless."""
    if settings.per_gpu != 1 and settings.gpus is None:
        raise InputError(f"--per-gpu is {settings.per_gpu}, which is for --gpus; give --gpus all, or numbers")
    if settings.ray is None:
        seats_of(settings)


def cluster(settings: SearchSettings) -> Cluster:
    """Where full trainings run that are not to run here."""
    from nas.workers.full_training import Cluster

    return Cluster(str(settings.ray), _gpu_share(settings), settings.retries)


def _gpu_share(settings: SearchSettings) -> float:
    """Of a GPU, for each training in a cluster."""
    return 1.0 / settings.per_gpu if settings.gpus is not None else 0.0


def training_on(workers: Workers, proxy: Proxy, training: ProxyTraining) -> Train:
    """What is sent to the workers: in a cluster the data go through its object store."""
    if isinstance(workers, RayWorkers):
        return ClusterTraining(workers.shared(proxy.data), proxy.recipe)
    return training


def watch_on(workers: Workers) -> Callable[[Watch], Watch]:
    """How a watch is sent to the workers: other machines may reach neither the study's file nor its server."""
    if isinstance(workers, RayWorkers):
        return workers.relayed
    return lambda watch: watch


def seats_of(settings: SearchSettings) -> list[Seat]:
    """A seat for each worker process; none where trainings run in this process."""
    cores = _cores()
    if settings.measure_cores and not hasattr(os, "sched_setaffinity"):
        raise InputError("--measure-cores needs a system that binds processes to cores, such as Linux")
    if settings.measure_cores >= len(cores):
        raise InputError(
            f"--measure-cores is {settings.measure_cores}, but there are {len(cores)} cores; "
            "at least one has to be left for training"
        )
    left = frozenset(cores[settings.measure_cores :])
    bound = left if settings.measure_cores else frozenset[int]()
    if settings.gpus is not None:
        if settings.workers != 1:
            raise InputError(
                f"--workers is {settings.workers}, but with --gpus so many train at once as --per-gpu says; "
                "leave --workers out"
            )
        return _gpu_seats(settings, left, bound)
    if settings.workers == 1 and not settings.measure_cores and settings.trial_timeout is None:
        return []
    return [Seat(max(1, len(left) // settings.workers), bound)] * settings.workers


def on_gpus(settings: SearchSettings) -> bool:
    """Whether trainings leave the cores alone. A cluster's tasks see a GPU only where one is asked for."""
    if settings.gpus is not None or settings.ray is not None:
        return settings.gpus is not None
    import torch

    return torch.cuda.is_available()


def _gpu_seats(settings: SearchSettings, left: frozenset[int], bound: frozenset[int]) -> list[Seat]:
    """`per_gpu` seats for each GPU, taking turns, so that the first workers have one each."""
    wanted = chosen_gpus(settings)
    threads = max(1, len(left) // (len(wanted) * settings.per_gpu))
    pipe = mps_pipe()
    shared = {} if pipe is None else {MPS: pipe}
    # What this process was given may be some of the machine's GPUs, which it counts from 0.
    given = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return [
        Seat(threads, bound, {VISIBLE: given[gpu] if gpu < len(given) else str(gpu), **shared})
        for _ in range(settings.per_gpu)
        for gpu in wanted
    ]


def chosen_gpus(settings: SearchSettings) -> list[int]:
    """The GPUs that --gpus names, by this process's numbers; InputError where one is not there."""
    import torch

    count = torch.cuda.device_count()
    if count == 0:
        raise InputError("--gpus is given, but torch finds no GPU here; leave it out to train on the CPU")
    if settings.gpus == "all":
        return list(range(count))
    wanted = str(settings.gpus).split(",")
    for number in wanted:
        if not number.isdecimal() or int(number) >= count:
            raise InputError(f"--gpus names {number!r}; expected all, or numbers from 0 to {count - 1}")
    return [int(number) for number in wanted]


def own_device(settings: SearchSettings) -> str:
    """Where this process itself trains, as it does baselines: on the first of --gpus, whichever those are."""
    if settings.gpus is None or settings.ray is not None:
        return "auto"
    return f"cuda:{chosen_gpus(settings)[0]}"


def mps_pipe() -> str | None:
    """The folder of CUDA MPS's control pipe, where its daemon runs on this machine; None where it does not."""
    folder = os.environ.get(MPS, MPS_FOLDER)
    return folder if (Path(folder) / "control").exists() else None


def sharing_note(settings: SearchSettings) -> str | None:
    """How the workers of one GPU share it, in a sentence; None where none do."""
    if settings.gpus is None or settings.per_gpu == 1 or settings.ray is not None:
        return None
    pipe = mps_pipe()
    if pipe is None:
        return (
            f"the {settings.per_gpu} workers of a GPU take turns on it; with CUDA MPS "
            "(nvidia-cuda-mps-control -d) they would run on it at once"
        )
    return f"the {settings.per_gpu} workers of a GPU run on it at once, by CUDA MPS at {pipe}"


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
