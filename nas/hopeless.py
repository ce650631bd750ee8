"""When to end a search: what its last trials came to shows that more of them would find nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from candidates.errors import RunError
from nas.trials import Row

MOST_FAILURES = 5  # in a row; then something is wrong that the next candidate will not cure
MOST_TOO_SLOW = 100  # in a row; then the target is out of reach


def check_hopeless(rows: Sequence[Row]) -> None:
    """Raise RunError with the reason."""
    ended = (row for row in reversed(rows) if row.state != "RUNNING")
    latest = list(islice(ended, MOST_TOO_SLOW))[::-1]
    last = latest[-MOST_FAILURES:]
    if len(last) == MOST_FAILURES and all(row.failed_because for row in last):
        raise RunError(
            f"the last {MOST_FAILURES} candidates failed; the last one because: {last[-1].failed_because}"
        )
    if len(latest) < MOST_TOO_SLOW:
        return
    if all(row.over_limit for row in latest):
        raise RunError(f"the last {MOST_TOO_SLOW} candidates were over a limit: {latest[-1].over_limit}")
    if all(row.too_slow or row.over_limit for row in latest):
        fastest = min(row.latency_ms for row in latest if row.latency_ms is not None)
        raise RunError(
            f"the last {MOST_TOO_SLOW} candidates were too slow to train, the fastest at {fastest:.2f} ms; "
            "raise --target-ms or --max-latency-factor, or lower --resolution"
        )
