"""From what the user calls a device to the Device."""

from __future__ import annotations

import functools
from collections.abc import Callable

from candidates import InputError
from latency.device import Device
from latency.host import HostDevice
from latency.runtimes import LiteRt, OnnxRuntime, Runtime

HOSTS: dict[str, Callable[[], Runtime]] = {"cpu": OnnxRuntime, "cpu:litert": LiteRt}


@functools.cache
def host(name: str) -> HostDevice:
    """This machine's CPU; one object per process and name, since it keeps the session's reference speed."""
    return HostDevice(name, HOSTS[name]())


def resolve(name: str) -> Device:
    """The device called `name`; an InputError says what there is."""
    if name in HOSTS:
        return host(name)
    raise InputError(f"device {name!r} is unknown; expected one of {', '.join(HOSTS)}")
