"""From what the user calls a device to the Device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from candidates import InputError
from latency.device import Device
from latency.host import HostDevice
from latency.pool import Pool
from latency.runtimes import LiteRt, OnnxRuntime, Runtime

HOSTS: dict[str, Callable[[], Runtime]] = {"cpu": OnnxRuntime, "cpu:litert": LiteRt}
AUTO = "auto"


@functools.cache
def host(name: str) -> HostDevice:
    """This machine's CPU; one object per process and name, since it keeps the session's reference speed."""
    return HostDevice(name, HOSTS[name]())


def resolve(name: str, runner: Path | None = None, device_timeout: float = 60.0) -> Device:
    """The device called `name`: `cpu`, `cpu:litert`, `cuda`, `cuda:1`, `auto`, or a phone by what latency.adb.attached knows.

    Several phones of one kind, as in `SERIAL1,SERIAL2`, are a pool.
    `runner` and `device_timeout` are for phones; see AndroidDevice. An InputError lists what is there.
    """
    if name == AUTO:
        name, _ = automatic()
    if "," in name:
        return _pool(name, runner, device_timeout)
    if name in HOSTS:
        return host(name)
    if name.partition(":")[0] == "cuda":
        from latency.gpu import gpu

        return gpu(name)
    if name.startswith("cpu"):
        raise InputError(f"device {name!r} is unknown; expected one of {', '.join(HOSTS)}, {AUTO} or a phone")
    return _phone(name, runner, device_timeout)


def by_format(device: Device, formats: Sequence[str]) -> Device:
    """`device`; where that is this machine's CPU by ONNX Runtime, LiteRT for a model that is a .tflite file alone."""
    return host("cpu:litert") if device is host("cpu") and tuple(formats) == ("tflite",) else device


@functools.cache
def _pool(name: str, runner: Path | None, device_timeout: float) -> Device:
    parts = [part.strip() for part in name.split(",")]
    for part in parts:
        if part in ("", AUTO) or part.startswith(("cpu", "cuda")):
            raise InputError(f"device {name!r} has {part!r}; expected phones in a pool, by their serials")
    by_key = {
        member.fingerprint(): member for member in (_phone(part, runner, device_timeout) for part in parts)
    }
    if len(by_key) < len(parts):
        raise InputError(f"device {name!r} names a phone twice; expected each one once")
    return Pool(name, lambda: by_key, device_timeout)


@functools.cache
def _phone(name: str, runner: Path | None, device_timeout: float) -> Device:
    from latency.adb.attached import find
    from latency.android import AndroidDevice

    found = find(name)
    return AndroidDevice(found.transport(), name, runner, device_timeout)


def automatic() -> tuple[str, str]:
    """The device that `auto` stands for, and a sentence that says why: the one attached phone, else this CPU.

    With several phones attached an InputError asks which.
    """
    from latency.adb.attached import attached

    there = attached()
    usable = [a for a in there if a.state == "device"]
    if len(usable) > 1:
        raise InputError(
            f"device 'auto' finds {len(usable)} phones: {', '.join(map(str, usable))}; give --device SERIAL"
        )
    if usable:
        return usable[0].serial, f"measuring on the attached phone {usable[0]}"
    others = f" ({', '.join(map(str, there))})" if there else ""
    return "cpu", f"no usable phone is attached{others}: measuring on this machine's CPU"
