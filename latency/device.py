"""Device: where latency is measured, as one small protocol; and its lock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from candidates import Architecture, RunError
from latency.folders import cache_folder
from latency.measurement import Measurement
from latency.model import Model
from latency.settings import Settings

LOCK_SECONDS = 900.0


class Lost(RunError):
    """A device is no longer there. In a pool, another one can take its place, or it itself when it is back."""


class StayedAway(Lost):
    """A device is no longer there, and was waited for as long as was asked."""


class Device(Protocol):
    """Something that measures models. A new kind of device is one class with these members.

    `name` is what the user calls it; `formats` the model formats it runs, the preferred first.
    """

    @property
    def name(self) -> str: ...

    @property
    def formats(self) -> tuple[str, ...]: ...

    def fingerprint(self) -> str:
        """Tells this device's measurements from any other's; stable between processes."""
        ...

    def runtime(self, form: str) -> tuple[str, str]:
        """Name and version of what runs models of format `form` here; InputError where nothing does."""
        ...

    def opened(self) -> AbstractContextManager[None]:
        """Keep what measuring needs on the device for several measurements."""
        ...

    def operation_times(self, arch: Architecture, threads: int) -> Mapping[int, float] | None:
        """A profile: milliseconds by index of candidates.operations; None where there is no profiler."""
        ...

    def measure(self, model: Model, settings: Settings) -> Measurement:
        """Measure `model`, alone on the device; RunError where the device fails, InputError for the model."""
        ...


@contextmanager
def alone(device: str, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the device for one measurement; others, in any process of this user, wait their turn."""
    from filelock import FileLock, Timeout

    folder = cache_folder() / "locks"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', device)}.lock", timeout=seconds)
    try:
        with lock:
            yield
    except Timeout:
        raise RunError(
            f"device {device} has been in use by another measurement for {seconds:.0f} s; try again later"
        ) from None
