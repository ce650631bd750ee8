from hypothesis import given
from hypothesis import strategies as st

from nas.targets import Targets
from nas.trials import Row, best_of, front_of, ranked


def row(number: int, accuracy: float, latency: float, **more: object) -> Row:
    return Row(number, "COMPLETE", f"id{number}", accuracy, 1.0, latency, 1, 1, accuracy, **more)  # type: ignore[arg-type]


def within(*ms: float) -> Targets:
    return Targets(ms, alpha=-0.07, beta=-0.07)


values = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=25)


@given(values)
def test_the_front_is_what_nothing_dominates(pairs: list[tuple[int, int]]) -> None:
    rows = [row(i, a / 10, float(t)) for i, (a, t) in enumerate(pairs)]
    front = front_of(rows)
    for one in rows:
        dominated = any(
            (other.accuracy or 0) >= (one.accuracy or 0)
            and (other.latency_ms or 0) <= (one.latency_ms or 0)
            and (other.accuracy, other.latency_ms) != (one.accuracy, one.latency_ms)
            for other in rows
        )
        twin = any(
            o.number < one.number and (o.accuracy, o.latency_ms) == (one.accuracy, one.latency_ms)
            for o in rows
        )
        assert (one.number in front) == (not dominated and not twin)


@given(values, st.integers(0, 25))
def test_what_is_off_the_front_is_no_rival_of_later_rows(pairs: list[tuple[int, int]], cut: int) -> None:
    rows = [row(i, a / 10, float(t)) for i, (a, t) in enumerate(pairs)]
    earlier = front_of(rows[:cut])
    assert front_of([*(rows[number] for number in earlier), *rows[cut:]]) == front_of(rows)


def test_duplicates_pruned_and_failed_trials_are_on_no_front() -> None:
    rows = [
        row(0, 0.5, 5.0),
        row(1, 0.9, 1.0, duplicate_of=0),
        Row(2, "PRUNED", "x", latency_ms=0.1),
        Row(3, "FAIL", "y", failed_because="no"),
    ]
    assert front_of(rows) == {0}
    assert [r.number for r in ranked(rows)] == [0]


def test_the_best_is_the_highest_reward_within_else_the_nearest() -> None:
    rows = [row(0, 0.9, 12.0), row(1, 0.8, 9.0), row(2, 0.7, 3.0)]
    assert best_of(rows, within(10.0)) == (rows[1], True)
    assert best_of(rows, within(1.0)) == (rows[2], False)
    assert best_of([], within(1.0)) is None


def test_of_equal_rewards_the_faster_is_the_better() -> None:
    """With a hard target all that is within it is rewarded alike."""
    slow, fast = (
        Row(
            number=number, state="COMPLETE", id=name, accuracy=0.95, loss=1.0, latency_ms=ms, reward=0.95,
            measurement={"latency_ms": ms},
        )
        for number, (name, ms) in enumerate([("slow", 9.0), ("fast", 3.0)])
    )  # fmt: skip
    assert ranked([slow, fast])[0] is fast
    assert best_of([slow, fast], Targets((10.0,), 0.0, -1.0)) == (fast, True)
