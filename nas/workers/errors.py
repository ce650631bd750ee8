"""What a Ray cluster's errors come to, in a line."""

from __future__ import annotations

from candidates.errors import RunError


def plain(error: BaseException) -> BaseException:
    """The error that was raised on another node as it was there, and Ray's own in one line."""
    from ray.exceptions import OutOfMemoryError, RayError, RayTaskError, TaskCancelledError

    if isinstance(error, RayTaskError):
        cause = error.cause
        return cause if isinstance(cause, Exception) else RunError(_first_line(error))
    if isinstance(error, TaskCancelledError):
        return RunError("the training was ended")
    if isinstance(error, OutOfMemoryError):
        return RunError("the worker was ended: its node ran out of memory")
    if isinstance(error, RayError):
        return RunError(f"the worker's process or its node died ({type(error).__name__})")
    return error


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
