"""When to end a search: what its last trials came to shows that more of them would find nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from candidates.errors import RunError
from nas.progress import milliseconds
from nas.targets import Targets
from nas.trials import Row

MOST_FAILURES = 5  # in a row; then something is wrong that the next candidate will not cure
MOST_TOO_SLOW = 100  # in a row; then the target is out of reach
FEW, FAR = 20, 10.0  # so many in a row will do where all take so many times as long as may be trained


def check_hopeless(rows: Sequence[Row], targets: Targets, factor: float) -> None:
    """Raise RunError with the reason. What takes over `factor` times a target is too slow to be trained."""
    ended = (row for row in reversed(rows) if row.state != "RUNNING")
    latest = list(islice(ended, MOST_TOO_SLOW))[::-1]
    last = latest[-MOST_FAILURES:]
    if len(last) == MOST_FAILURES and all(row.failed_because for row in last):
        raise RunError(
            f"the last {MOST_FAILURES} candidates failed; the last one because: {last[-1].failed_because}"
        )
    few = latest[-FEW:]
    hopeless = len(few) == FEW and all(row.too_slow for row in few)
    if hopeless and min(targets.worst(row.latencies) for row in few) > FAR * factor:
        raise _too_slow(few)
    if len(latest) < MOST_TOO_SLOW:
        return
    if all(row.over_limit for row in latest):
        raise RunError(
            f"the last {MOST_TOO_SLOW} candidates were over a limit: {latest[-1].over_limit}; loosen it, or use a "
            "sampler that keeps to limits (surrogate, evolution, ppo, random)"
        )
    if all(row.over_limit or _is_too_slow(row, targets, factor) for row in latest):
        raise _too_slow(latest)


def _is_too_slow(row: Row, targets: Targets, factor: float) -> bool:
    """In a space that is used up, networks that were too slow before are all that comes."""
    again = row.state == "PRUNED" and row.duplicate_of is not None and row.latency_ms is not None
    return row.too_slow or (again and targets.worst(row.latencies) > factor)


def _too_slow(rows: Sequence[Row]) -> RunError:
    measured = [row.latency_ms for row in rows if row.latency_ms is not None]
    fastest = f", the fastest at {milliseconds(min(measured))}" if measured else ""
    return RunError(
        f"the last {len(rows)} candidates were too slow to train{fastest}; raise --target-ms (or --target) or "
        "--max-latency-factor, or lower --resolution"
    )
