"""Transport: running commands on a device and pushing files to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from candidates import RunError

MAX_OUTPUT = 8 << 20  # bytes of a command's output, above which it is taken for garbage


class DeviceGone(RunError):
    """The device, or the server that holds it, stopped answering; it may come back."""


class TimedOut(RunError):
    """A command on the device took too long."""


@dataclass(frozen=True)
class Finished:
    """A remote command's exit status and output. A transport without separate streams has all in `out`."""

    code: int
    out: str
    err: str = ""

    @property
    def last_words(self) -> str:
        """The end of what it said, on one line, for an error message."""
        return " ".join((self.err or self.out).split())[-300:]


class Transport(Protocol):
    """One way to one device."""

    @property
    def serial(self) -> str: ...

    def run(self, command: str, timeout: float) -> Finished:
        """Run a shell command, already quoted; DeviceGone or TimedOut (seconds) where it cannot be done."""
        ...

    def push(self, content: bytes, path: str, mode: int, timeout: float) -> None:
        """Write a file on the device; RunError with the device's reason where it refuses."""
        ...

    def reconnect(self) -> None:
        """Try once to reach the device again; DeviceGone when it is not there."""
        ...

    def close(self) -> None: ...
