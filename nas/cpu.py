"""Settings of this process that make training on a CPU faster. They must be made before torch is imported."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def prepare() -> None:
    """Keep OpenMP's threads from spinning and glibc from returning memory at every training step.

    Spinning threads halve the speed of a process that shares its cores; glibc maps and unmaps large
    activations at every step otherwise, tens of thousands of page faults each.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    mallopt = _libc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def release() -> None:
    """Give back what a training no longer needs; after `prepare`, glibc does not do so by itself."""
    trim = _libc("malloc_trim")
    if trim is not None:
        trim(0)


def _libc(name: str) -> Callable[..., int] | None:
    """A function of glibc, or None elsewhere (musl and others have neither of ours)."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL("libc.so.6"), name)
    except (OSError, AttributeError):
        return None
    return found
