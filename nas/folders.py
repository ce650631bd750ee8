"""What a run's and a training's folder have in common: one process at a time, and nothing overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from candidates.errors import InputError

_LOCK = ".lock"


@contextmanager
def held(path: Path, by: str) -> Iterator[None]:
    """Hold the folder; raises InputError where another `by` holds it. Freed when the process ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(path / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{path} is in use by another {by}; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def check_free(path: Path, record: str, resume: str) -> None:
    """Raise InputError unless a new folder can be put at `path`.

    One that has the file `record` can be gone on with: by `resume` and its path.
    """
    if path.exists() and (not path.is_dir() or any(f.name != _LOCK for f in path.iterdir())):
        hint = f"go on with it by {resume} {path}" if (path / record).exists() else "choose another --out"
        raise InputError(f"{path} exists already; {hint}")
