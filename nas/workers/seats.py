"""Trainings in processes of this machine, one process for each worker.

Every worker is a process pool of one, so that one that dies or is killed takes no other's work with it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from queue import SimpleQueue
from typing import Any

START_SECONDS = 60.0  # that a worker has to start
STARTS = 5  # of a worker that dies before it takes a task
ORPHAN_SECONDS = 1.0  # how often a worker looks whether its search is still there


@dataclass(frozen=True)
class Seat:
    """What one worker may use: threads, cores (none given: all), and further environment variables."""

    threads: int = 1
    cores: frozenset[int] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)


class Seats(Executor):
    """An Executor with a process for each seat. A process that died is replaced.

    `tell` learns what each worker does from now on; nothing, where that is empty.
    """

    def __init__(
        self, seats: Sequence[Seat], tell: Callable[[str, str], None] = lambda worker, text: None
    ) -> None:
        self._seats, self._tell = tuple(seats), tell
        self.count = len(self._seats)
        self._free: SimpleQueue[int] = SimpleQueue()
        self._pools: dict[int, ProcessPoolExecutor] = {}
        self._pids: dict[int, Future[int]] = {}
        self._at: dict[Future[Any], int] = {}
        self._lock = threading.Lock()
        for number in range(self.count):
            self._free.put(number)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run in a free worker; where none is free, wait for one."""
        number = self._free.get()
        for attempt in range(STARTS):
            try:
                future = self._pool(number).submit(fn, *args, **kwargs)
            except BrokenProcessPool:  # it died between two tasks, or as it started
                self._discard(number)
                if attempt == STARTS - 1:
                    self._free.put(number)
                    raise
            else:
                break
        with self._lock:
            self._at[future] = number
        self._tell(f"worker {number + 1}", str(getattr(fn, "label", "training")))
        future.add_done_callback(self._leave)
        return future

    def kill(self, future: Future[Any]) -> None:
        """End the worker that runs `future`, whose result is then an error."""
        with self._lock:
            pid = self._pids.get(self._at.get(future, -1))
        if pid is not None:
            with suppress(BrokenProcessPool, TimeoutError):
                _kill(pid.result(timeout=START_SECONDS))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End every worker; without `wait` also those at work."""
        for number, pool in list(self._pools.items()):
            pid = self._pids.get(number)
            if not wait and pid is not None and _started(pid):
                _kill(pid.result())
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._pools.clear()

    def pids(self) -> list[int]:
        """The processes that have been started and not found dead."""
        with self._lock:
            return [pid.result() for pid in self._pids.values() if _started(pid)]

    def _pool(self, number: int) -> ProcessPoolExecutor:
        if number not in self._pools:
            pool = ProcessPoolExecutor(
                1, mp_context=get_context("spawn"), initializer=_settle, initargs=(self._seats[number], os.getpid())
            )  # fmt: skip
            self._pools[number] = pool
            self._pids[number] = pool.submit(os.getpid)  # known before the first task begins
        return self._pools[number]

    def _leave(self, future: Future[Any]) -> None:
        """The seat is free again; where its process died, with a new one."""
        with self._lock:
            number = self._at.pop(future)
        if not future.cancelled() and isinstance(future.exception(), BrokenProcessPool):
            self._discard(number)
        try:
            self._tell(f"worker {number + 1}", "")  # before the seat's next task is told of
        finally:
            self._free.put(number)

    def _discard(self, number: int) -> None:
        """Forget a seat's process; the next task there starts another."""
        with self._lock:
            pool = self._pools.pop(number, None)
            self._pids.pop(number, None)
        if pool is not None:
            pool.shutdown(wait=False)


def _settle(seat: Seat, parent: int) -> None:
    """Prepare a worker's process; torch is not imported yet."""
    from nas import cpu

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the search, which says what happens next
    os.environ.update(seat.environment)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(seat.threads)
    if seat.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, seat.cores)
    cpu.prepare()
    threading.Thread(target=partial(_leave_with, parent), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this process when the search's has ended, however that came about."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def _started(pid: Future[int]) -> bool:
    return pid.done() and not pid.cancelled() and pid.exception() is None


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
