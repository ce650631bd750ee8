"""When more trials would find nothing."""

from __future__ import annotations

from typing import Any

import pytest

from candidates import RunError
from nas.hopeless import FEW, MOST_TOO_SLOW, check_hopeless
from nas.targets import Targets
from nas.trials import Row

TARGETS = Targets((1.0,), -0.07, -0.07)


def pruned(number: int, latency: float | None, **more: Any) -> Row:
    return Row(number=number, state="PRUNED", latency_ms=latency, measurement={"latency_ms": latency}, **more)


def test_what_is_far_beyond_the_target_ends_a_search_early() -> None:
    rows = [pruned(number, 100.0 + number, epochs=0) for number in range(FEW)]
    check_hopeless(rows[:-1], TARGETS, 2.0)
    with pytest.raises(
        RunError, match=f"the last {FEW} candidates were too slow to train, the fastest at 100 ms"
    ):
        check_hopeless(rows, TARGETS, 2.0)


def test_what_is_near_the_target_is_given_more_trials() -> None:
    rows = [pruned(number, 3.0, epochs=0) for number in range(MOST_TOO_SLOW)]
    check_hopeless(rows[:-1], TARGETS, 2.0)
    with pytest.raises(RunError, match=f"the last {MOST_TOO_SLOW} candidates were too slow"):
        check_hopeless(rows, TARGETS, 2.0)


def test_a_space_that_is_used_up_by_what_is_too_slow_ends() -> None:
    rows = [
        pruned(0, 3.0, epochs=0),
        *(pruned(n, 3.0, duplicate_of=0) for n in range(1, MOST_TOO_SLOW)),
    ]
    with pytest.raises(RunError, match=f"the last {MOST_TOO_SLOW} candidates were too slow"):
        check_hopeless(rows, TARGETS, 2.0)
