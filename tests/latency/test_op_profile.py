import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import RunError
from latency.op_profile import parse

OLD = """\
Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
node type, start, first, avg_ms, %, cdf%, mem KB, times called, name
AllocateTensors, 0, 0.029, 0.029, 100%, 100%, 0, 1, AllocateTensors/0

Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
node type, start, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 0, 0.11, 0.3, 60%, 60%, 0, 1, [t0]:0
DEPTHWISE_CONV_2D, 0.0931277, 0.034, 0.15, 30%, 90%, 0, 1, [t1;t2, t3]:1
FULLY_CONNECTED, 0.2, 0.1, 5e-2, 10%, 100%, 0, 1, [logits]:2

============================== Top by Computation Time ==============================
node type, start, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 0, 0.11, 0.3, 60%, 60%, 0, 1, [t0]:0

Timings (microseconds): count=50 first=500 curr=510 min=490 max=600 avg=500 std=9
"""
NEW = OLD.replace("node type, start, first", "node type, first").replace("CONV_2D, 0, 0.11", "CONV_2D, 0.11")
NEW = NEW.replace("DEPTHWISE_CONV_2D, 0.0931277, 0.034", "DEPTHWISE_CONV_2D, 0.034")
NEW = NEW.replace("FULLY_CONNECTED, 0.2, 0.1", "FULLY_CONNECTED, 0.1")


@pytest.mark.parametrize("text", [OLD, NEW, "\n".join(f"INFO: {line}" for line in OLD.splitlines())])
def test_operators_in_their_order(text):
    found = parse(text)
    assert [(n.operation, n.name) for n in found] == [
        ("CONV_2D", "[t0]:0"),
        ("DEPTHWISE_CONV_2D", "[t1;t2,t3]:1"),
        ("FULLY_CONNECTED", "[logits]:2"),
    ]
    assert [n.ms for n in found] == [0.3, 0.15, 0.05]
    assert [n.share for n in found] == pytest.approx([0.6, 0.3, 0.1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no op profile"),
        (OLD.partition("Operator-wise")[0], "no op profile"),
        (OLD.replace("avg_ms", "mean"), "columns"),
        (OLD.replace("0.3,", "nan,"), "'nan'"),
        (OLD.replace("0.3,", "-1,"), "'-1'"),
        (OLD.partition("CONV_2D, 0")[0], "took any time"),
    ],
)
def test_anything_else_is_an_error(text, said):
    with pytest.raises(RunError, match=said):
        parse(text)


@given(st.text(max_size=60), st.integers(0, len(OLD)), st.integers(0, len(OLD)))
def test_damaged_output_is_a_profile_or_an_error(noise, start, end):
    try:
        found = parse(OLD[:start] + noise + OLD[end:])
    except RunError:
        return
    assert sum(n.share for n in found) == pytest.approx(1)


def test_an_unbalanced_quote_in_a_large_profile_is_an_error():
    usual = csv.field_size_limit(131_072)  # some libraries raise it
    try:
        with pytest.raises(RunError, match="is not CSV"):
            parse(OLD.replace("0.3,", '0.3,"' + "x" * 140_000))
    finally:
        csv.field_size_limit(usual)
