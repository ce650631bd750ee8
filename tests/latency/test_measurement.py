import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import InputError
from latency import Measurement

PLAIN = Measurement(
    model="m",
    latency_ms=2.0,
    p5_ms=1.9,
    p95_ms=2.4,
    cv=0.03,
    count=60,
    threads=1,
    device="cpu",
    runtime="onnxruntime",
    runtime_version="1.2.3",
    valid=False,
    reasons=("too hot",),
    interval_ms=(1.95, 2.05),
    block_medians_ms=(2.0, 2.1, 1.9),
    blocks=3,
    conditions={"battery_c": 31.5, "cores": [4, 5]},
)


def test_json_and_back():
    text = json.dumps(PLAIN.to_dict())
    assert json.loads(text)["format"] == 1
    assert Measurement.from_dict(json.loads(text)) == PLAIN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latency_ms": 0}, "latency_ms is 0"),
        ({"latency_ms": float("nan")}, "finite"),
        ({"count": 0}, "count is 0"),
        ({"format": 2}, "newer version"),
        ({"latency_s": 1}, "did you mean latency_ms"),
        ({"model": None}, "model is None"),
        ({"valid": "yes"}, "valid is 'yes'"),
        ({"reasons": "hot"}, "expected a list"),
    ],
)
def test_wrong_values_are_named(change, said):
    with pytest.raises(InputError, match=said):
        Measurement.from_dict({**PLAIN.to_dict(), **change})


@given(
    st.dictionaries(
        st.sampled_from([*PLAIN.to_dict(), "other"]),
        st.none() | st.integers() | st.sampled_from(["", "x"]) | st.lists(st.floats(), max_size=2),
    )
)
def test_anything_else_is_an_input_error_or_a_measurement(change):
    try:
        found = Measurement.from_dict({**PLAIN.to_dict(), **change})
    except InputError:
        return
    assert Measurement.from_dict(found.to_dict()) == found
