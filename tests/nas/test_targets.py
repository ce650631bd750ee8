from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import Architecture
from candidates.errors import InputError
from nas.settings import SearchSettings
from nas.targets import OnSeveral, Targets, is_predicted, latencies_of, parse_targets, reasons_of
from nas.trials import Row, best_of, front_of
from tests.nas.conftest import FakeMeasurement, Lab


def row(number: int, accuracy: float, main: float, other: float) -> Row:
    also = {"also": {"cpu": {"latency_ms": other}}}
    return Row(number, "COMPLETE", f"id{number}", accuracy, 1.0, main, 1, 1, accuracy, measurement=also)


def test_the_reward_is_the_product_over_devices() -> None:
    hard = Targets((10.0, 10.0), alpha=0.0, beta=-1.0)
    assert hard.reward(0.8, (20.0, 5.0)) == pytest.approx(0.4)
    assert hard.reward(0.8, (20.0, 40.0)) == pytest.approx(0.1)
    soft = Targets((10.0, 10.0), alpha=-0.07, beta=-0.07)
    assert soft.reward(0.8, (20.0, 5.0)) == pytest.approx(0.8)


def test_within_means_within_on_every_device() -> None:
    targets = Targets((10.0, 5.0), alpha=-0.07, beta=-0.07)
    rows = [row(0, 0.9, 5.0, 6.0), row(1, 0.7, 9.0, 5.0), row(2, 0.8, 30.0, 1.0)]
    assert best_of(rows, targets) == (rows[1], True)
    assert best_of([rows[0], rows[2]], targets) == (rows[0], False)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)), max_size=15))
def test_the_front_of_several_devices_is_what_nothing_dominates(found: list[tuple[int, int, int]]) -> None:
    front = front_of([row(i, a / 10, float(x), float(y)) for i, (a, x, y) in enumerate(found)])
    for i, (a, x, y) in enumerate(found):
        beaten = any(
            b >= a and u <= x and v <= y and ((b, u, v) != (a, x, y) or j < i)
            for j, (b, u, v) in enumerate(found)
        )
        assert (i in front) == (not beaten)


def test_texts_become_targets() -> None:
    assert parse_targets(["pixel=78", "cpu=9.5"]) == {"pixel": 78.0, "cpu": 9.5}
    assert parse_targets(["a=b=3"]) == {"a=b": 3.0}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["pixel"], "--target is 'pixel'; expected DEVICE=MILLISECONDS"),
        (["=3"], "--target is '=3'; expected DEVICE=MILLISECONDS"),
        (["pixel=fast"], "--target pixel is 'fast'; expected milliseconds"),
        (["pixel=0"], "--target pixel is 0.0; expected a number above 0"),
        (["pixel=nan"], "--target pixel is nan"),
        (["pixel=1", "pixel=2"], "--target names pixel twice"),
        (["auto=1"], "--target is for named devices"),
    ],
)
def test_other_texts_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        parse_targets(texts)


def test_a_composite_measurement_speaks_for_all_of_its_parts() -> None:
    doubtful = FakeMeasurement(2.0, valid=False)
    both = OnSeveral(FakeMeasurement(1.0, valid=True), {"cpu": doubtful})
    kept = both.to_dict()
    assert not both.valid
    assert latencies_of(both.latency_ms, kept) == (1.0, 2.0)
    assert reasons_of(kept) == ["cpu: busy"]
    assert not is_predicted(kept)
    assert is_predicted({"also": {"cpu": {"predicted": True}}})


def test_settings_refuse_what_several_devices_cannot_mean() -> None:
    both = SearchSettings(78.0, device="pixel", also={"cpu": 9.0})
    assert both.goal == "78 ms on pixel and 9 ms on cpu"
    assert SearchSettings.from_dict(json.loads(json.dumps(both.to_dict()))) == both
    with pytest.raises(InputError, match="two targets"):
        replace(both, device="cpu")
    with pytest.raises(InputError, match="takes one device"):
        replace(both, objective="pareto")
    with pytest.raises(InputError, match=r"target cpu is -1\.0"):
        replace(both, also={"cpu": -1.0})


@pytest.mark.parametrize("sampler", ["surrogate", "evolution", "tpe"])
def test_a_search_meets_the_targets_of_two_devices(lab: Lab, sampler: str) -> None:
    on_main = lab.measure

    def on_both(arch: Architecture) -> Any:
        main = on_main(arch)
        # Slow where the main device is fast, so that neither target implies the other.
        return OnSeveral(main, {"other": FakeMeasurement(60.0 / main.latency_ms, valid=True)})

    lab.measure = on_both  # type: ignore[method-assign, assignment]
    settings = lab.settings(sampler=sampler, also={"other": 8.0}, trials=10)
    rows = lab.search(settings)
    for done in rows:
        if done.evaluated:
            assert done.accuracy is not None
            assert done.reward == pytest.approx(settings.targets.reward(done.accuracy, done.latencies))
            assert settings.targets.worst(done.latencies) <= settings.max_latency_factor
        if done.too_slow:
            assert settings.targets.worst(done.latencies) > settings.max_latency_factor
    best = json.loads((lab.path / "best.json").read_text())
    also = best["measurement"]["also"]["other"]["latency_ms"]
    assert best["within_target"] == (best["latency_ms"] <= settings.target_ms and also <= 8.0)
    with (lab.path / "trials.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
