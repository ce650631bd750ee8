"""Trainings as tasks on a Ray cluster, which places them and shares the data set out."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from candidates import Architecture
from candidates.errors import InputError, RunError
from nas.evaluation import Watch
from nas.workers.training import within_memory

if TYPE_CHECKING:
    from nas.proxy import Proxy
    from nas.recipe import Recipe
    from nas.training import Outcome

START = "local"  # a cluster of this machine, for this search alone


class RayWorkers(Executor):
    """An Executor whose tasks run anywhere in a cluster; `count` of them at once.

    `address` is a cluster's (HOST:PORT, or `auto` for the one that this machine is part of) or `local`. Each
    task takes `cpus` cores and `gpus` GPUs, fractions allowed. Nodes may join and leave; a task whose node
    dies ends with an error, and the search tries it again elsewhere.
    """

    def __init__(self, address: str, count: int, cpus: float = 1.0, gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError:
            raise InputError("--ray needs Ray; install it by pip install 'mobile-nas[cluster]'") from None
        self.count, self._ray, self._ours = count, ray, not ray.is_initialized()
        if self._ours:
            _check_answers(address)
            try:
                ray.init(
                    address=None if address == START else address,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                words = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise RunError(f"the Ray cluster {address} cannot be reached: {words}") from None
        # Ray itself does not try again: the search does, and keeps the reason.
        self._task = ray.remote(max_retries=0, num_cpus=cpus, num_gpus=gpus)(_call)
        self._refs: dict[Future[Any], Any] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` somewhere in the cluster; where all of it is taken, as soon as there is room."""
        ref = self._task.remote(fn, args, kwargs)
        future: Future[Any] = ref.future()
        self._refs[future] = ref
        future.add_done_callback(lambda done: self._refs.pop(done, None))
        return future

    def kill(self, future: Future[Any]) -> None:
        """End the process that runs `future`, whose result is then an error."""
        ref = self._refs.get(future)
        if ref is not None:
            self._ray.cancel(ref, force=True)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; without `wait` end what runs for us."""
        if not wait:
            for future in list(self._refs):
                self.kill(future)
        if self._ours:
            self._ray.shutdown()

    def shared(self, value: Any) -> Any:
        """A reference to `value`, which is put into the cluster's object store once."""
        return self._ray.put(value)


def _check_answers(address: str) -> None:
    """Ray itself tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        if address not in ("auto", START):
            raise InputError(f"--ray is {address!r}; expected HOST:PORT, auto or {START}")
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise RunError(f"the Ray cluster {address} cannot be reached: {error}") from None


def _call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from nas import cpu

    cpu.prepare()
    return fn(*args, **kwargs)


@dataclass(frozen=True)
class ClusterTraining:
    """Trains by a proxy whose data are in the object store: no node but the search's own needs the files."""

    data: Any
    recipe: Recipe

    def __call__(self, arch: Architecture, seed: int, watch: Watch | None = None) -> Outcome:
        return within_memory(_proxy(self.data, self.recipe), arch, seed, watch)


@cache
def _proxy(data: Any, recipe: Recipe) -> Proxy:
    """One for each process that Ray keeps for our tasks."""
    import ray

    from nas.proxy import Proxy

    return Proxy.prepare(ray.get(data), recipe)
