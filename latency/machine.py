"""What this machine is and how busy it is, from /proc where there is one."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path


def cpu_model() -> str:
    """The CPU's name, as /proc/cpuinfo or the platform gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for key in ("model name", "Hardware", "CPU part"):
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == key and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fingerprint() -> str:
    """Tells one machine's measurements from another's: CPU, number of cores, system, machine id (hashed)."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = platform.node()
    parts = (cpu_model(), str(os.cpu_count()), platform.system(), platform.machine(), machine)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Ticks:
    """Clock ticks since boot: `busy` of all processes, `total` of all cores, `own` of this process."""

    busy: int
    total: int
    own: int


def ticks() -> Ticks | None:
    """Read the counters; None where there is no /proc/stat."""
    try:
        values = [int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    own = os.times()
    idle = values[3] + values[4]
    rate = os.sysconf("SC_CLK_TCK")
    return Ticks(sum(values) - idle, sum(values), int((own.user + own.system) * rate))


def others_load(before: Ticks | None, after: Ticks | None) -> float | None:
    """The share of all cores that others used between two readings (steal by the host counts as others)."""
    if before is None or after is None or after.total <= before.total:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return min(1.0, max(0.0, others / (after.total - before.total)))


def reset_peak_memory() -> int | None:
    """Reset this process's peak memory and return its present memory in KiB; None where that cannot be."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def peak_memory() -> int | None:
    """This process's peak memory in KiB since the last reset."""
    return _status("VmHWM")


def _status(key: str) -> int | None:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
    except (OSError, ValueError):
        return None
    return None
