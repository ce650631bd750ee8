import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import RunError
from latency.runner_output import parse

GOOD = {
    "format": 1,
    "runtime": "onnxruntime",
    "version": "1.22.0",
    "threads": 1,
    "init_ns": 35_000_000,
    "warmup_ns": [9_000_000, 8_100_000, 8_000_000],
    "times_ns": [8_000_000, 8_200_000],
    "peak_memory_kb": 51200,
}


def line(**change):
    return json.dumps({**GOOD, **change}, separators=(",", ":"))


def test_a_result_among_other_lines():
    found = parse(f"WARNING: linker: something\n{line()}\n\n")
    assert (found.version, found.init_ms, found.warmup, found.times_ms) == ("1.22.0", 35.0, 3, (8.0, 8.2))
    assert found.peak_memory_mb == 50.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no result"),
        ("0", "no result"),
        ("\x00\xff garbage", "no result"),
        (f"{line()}\n{line()}", "no result"),
        (line()[:-20], "cannot be used"),
        (line(times_ns=[]), "empty"),
        (line(times_ns=[0, 0]), "time in ns is 0"),
        (line(times_ns=[-5]), "time in ns is -5"),
        (line(times_ns=[1.5]), "1.5"),
        (line(times_ns="8"), "expected a list"),
        (line(format=2), "newer version"),
        (line(version=None), "version"),
        ('{"format"' + "[" * 100_000, "cannot be used"),
    ],
)
def test_anything_else_is_an_error(text, said):
    with pytest.raises(RunError, match=said):
        parse(text)


@given(st.integers(0, 200), st.integers(0, 200), st.text(max_size=20))
def test_damaged_output_has_times_above_zero_or_is_an_error(start, end, noise):
    text = line()
    try:
        found = parse(text[:start] + noise + text[end:])
    except RunError:
        return
    assert min(found.times_ms) > 0
