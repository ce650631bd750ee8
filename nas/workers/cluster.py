"""Trainings as tasks on a Ray cluster, which places them and shares the data set out."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from itertools import count as numbers
from threading import Lock
from typing import TYPE_CHECKING, Any

from candidates import Architecture
from nas.evaluation import Watch
from nas.workers.board import Board, Line, Lines
from nas.workers.connection import connected
from nas.workers.errors import plain
from nas.workers.training import within_memory

if TYPE_CHECKING:
    from nas.proxy import Proxy
    from nas.recipe import Recipe
    from nas.training import Outcome

Tell = Callable[[str, str], None]
"""Told a worker's name, and what it does from now on; nothing, where that is empty."""


class RayWorkers(Executor):
    """An Executor whose tasks run anywhere in a cluster; `count` of them at once.

    `address` is a cluster's, see `connected`. Each task takes `cpus` cores and `gpus` GPUs, fractions
    allowed. Nodes may join and leave; a task whose node dies ends with an error, and the search tries it
    again elsewhere. `tell` learns what each worker does and prints, as it comes; `handlers` are for other
    messages that tasks send through `line`.
    """

    def __init__(
        self,
        address: str,
        count: int,
        cpus: float = 1.0,
        gpus: float = 0.0,
        tell: Tell = lambda worker, text: None,
        handlers: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.count, self._ray, self._tell = count, connected(address), tell
        # Ray itself does not try again: the search does, and keeps the reason.
        self._task = self._ray.remote(max_retries=0, num_cpus=cpus, num_gpus=gpus)(_call)
        self._numbers = numbers()
        self._refs: dict[Future[Any], Any] = {}
        self._working: dict[int, str] = {}  # the worker of each task
        self._begins: dict[int, Future[Any]] = {}  # tasks of which nothing was heard yet
        self._watches: dict[int, Watch] = {}
        self._lock = Lock()
        self._board = Board(self._ray, {"doing": self._doing, "watch": self._watch, **(handlers or {})})
        self.line = self._board.line

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` somewhere in the cluster; where all of it is taken, as soon as there is room."""
        number = next(self._numbers)
        future: Future[Any] = Future()
        self._working[number], self._begins[number] = "", future
        ref = self._task.remote(fn, args, kwargs, self.line, number)
        self._refs[future] = ref

        def ended(done: Future[Any]) -> None:
            self._refs.pop(future, None)
            with self._lock:
                worker = self._working.pop(number)
                self._begins.pop(number, None)
            error = done.exception()
            if error is None:
                future.set_result(done.result())
            else:
                future.set_exception(plain(error))
            if worker:
                self._tell(worker, "")

        ref.future().add_done_callback(ended)
        return future

    def kill(self, future: Future[Any]) -> None:
        """End the process that runs `future`, whose result is then an error."""
        ref = self._refs.get(future)
        if ref is not None:
            self._ray.cancel(ref, force=True)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Without `wait` end what runs for us."""
        if not wait:
            for future in list(self._refs):
                self.kill(future)
        self._board.close()

    def shared(self, value: Any) -> Any:
        """A reference to `value`, which is put into the cluster's object store once."""
        return self._ray.put(value)

    def relayed(self, watch: Watch) -> Watch:
        """A watch for a task, which asks `watch` here: no node but the search's own needs to reach the study."""
        number = next(self._numbers)
        self._watches[number] = watch
        return RelayedWatch(self.line, number)

    def _doing(self, number: int, worker: str, text: str) -> None:
        with self._lock:
            ended = number not in self._working
            if not ended:
                self._working[number] = worker
                future = self._begins.pop(number, None)
                if future is not None:
                    future.set_running_or_notify_cancel()
        self._tell(worker, text)
        if ended:
            self._tell(worker, "")

    def _watch(self, number: int, curve: Sequence[float]) -> bool:
        return self._watches[number](curve)


@dataclass(frozen=True)
class RelayedWatch:
    """Asks the search's own watch, from any node."""

    line: Line
    number: int

    def __call__(self, curve: Sequence[float]) -> bool:
        answer = self.line.ask("watch", self.number, list(curve))
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)


def _call(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], line: Line, number: int
) -> Any:
    from nas import cpu

    cpu.prepare()
    me = _name()

    def say(text: str) -> None:
        line.tell("doing", number, me, text)

    say(label(fn))
    try:
        with redirect_stdout(Lines(say)), redirect_stderr(Lines(say)):
            return fn(*args, **kwargs)
    finally:
        line.flush()


def _name() -> str:
    """This worker's: its machine and process, and its GPUs where it has some."""
    import ray

    gpus = ",".join(map(str, ray.get_gpu_ids()))
    return f"{platform.node()}:{os.getpid()}" + (f" GPU {gpus}" if gpus else "")


def label(fn: Callable[..., Any]) -> str:
    """What a task does, for people."""
    return str(getattr(fn, "label", "training"))


@dataclass(frozen=True)
class ClusterTraining:
    """Trains by a proxy whose data are in the object store: no node but the search's own needs the files."""

    data: Any
    recipe: Recipe

    def __call__(self, arch: Architecture, seed: int, watch: Watch | None = None) -> Outcome:
        return within_memory(_proxy(self.data, self.recipe), arch, seed, watch)


@cache
def _proxy(data: Any, recipe: Recipe) -> Proxy:
    """One for each process that Ray keeps for our tasks. The images stay in the object store, which all share."""
    import ray

    from nas.proxy import Proxy

    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # and nothing writes to it
    return Proxy.prepare(ray.get(data), recipe)
