from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from test_measurement import PLAIN
from test_predictor import cost_of, device_ms

from candidates import InputError
from candidates.operations import operations
from latency.calibration import Measured, calibrate, common_speed, covering, random_architectures
from latency.comparing import compare, interval
from latency.features import fine
from latency.model import model_of
from latency.settings import Settings
from latency.store import Store
from latency.table import fit_table, read_table
from search_space import load_space

SPACE = load_space("mnasnet")
PIXEL1 = Path(__file__).parent / "data" / "pixel1.csv"


class Drifting:
    """A made-up device whose speed, and its reference's with it, changes from one measurement to the next."""

    name, formats = "drifting", ("onnx",)

    def __init__(self, profiled=True):
        self.count, self.profiled = 0, profiled

    def opened(self):
        return nullcontext()

    def fingerprint(self):
        return "f"

    def operation_times(self, arch, threads):
        ops = operations(arch.layers, arch.resolution)
        return {i: 2 * cost_of(op) for i, op in enumerate(ops)} if self.profiled else None

    def measure(self, model, settings):
        self.count += 1
        slow = 1.0 + 0.3 * (self.count % 5) / 4
        ms = device_ms(model.architecture)
        return replace(PLAIN, latency_ms=ms, raw_ms=ms * slow, reference_ms=8.0 * slow, valid=True)


def test_architectures_that_cover_the_space_are_chosen():
    chosen, random = covering(SPACE, 20), random_architectures(SPACE, 20, seed=5)
    assert len({arch.id for arch in chosen}) == 20

    def seen(archs):
        return len({g.signature for arch in archs for g in fine(arch)})

    def span(archs):
        costs = [arch.multiply_adds() for arch in archs]
        return max(costs) / min(costs)

    assert seen(chosen) > seen(random)
    assert span(chosen) > 0.9 * span(random)
    assert [a.id for a in covering(SPACE, 20)] == [a.id for a in chosen]


def test_random_architectures_are_new():
    first = random_architectures(SPACE, 10, seed=1)
    assert not {a.id for a in random_architectures(SPACE, 10, seed=1, without=first)} & {a.id for a in first}


def test_calibration_sees_through_drift():
    told = []
    found = calibrate(
        Drifting(), SPACE, samples=24, held_out=10, name="mnasnet", progress=lambda *a: told.append(a)
    )
    assert found.quality["within_10"] >= 0.9
    assert found.quality["count"] == 10
    assert (found.samples, found.space, found.device) == (24, "mnasnet", PLAIN.device)
    assert [done for done, _, _ in told] == list(range(1, 35))
    assert {total for _, total, _ in told} == {34}


def test_another_devices_predictor_is_a_start():
    prior = calibrate(Drifting(), SPACE, samples=24, held_out=0)
    few = calibrate(Drifting(profiled=False), SPACE, samples=6, held_out=10, prior=prior, seed=3)
    assert few.quality["within_10"] == 1.0


def test_an_interrupted_calibration_goes_on():
    class Interrupted(Drifting):
        def measure(self, model, settings):
            if self.count == 5:
                raise KeyboardInterrupt
            return super().measure(model, settings)

        def runtime(self, form):
            return "made", "1"

    store = Store()
    first = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        calibrate(first, SPACE, samples=8, held_out=0, store=store)
    second = Interrupted()
    second.count = 100
    assert calibrate(second, SPACE, samples=8, held_out=0, store=store).samples == 8
    assert second.count == 100 + 8 - 5


def test_too_few_samples_are_refused_before_anything_is_measured():
    device = Drifting()
    with pytest.raises(InputError, match="samples is 3"):
        calibrate(device, SPACE, samples=3)
    assert device.count == 0


def test_latencies_are_brought_to_one_speed():
    def one(raw, reference):
        return Measured(None, replace(PLAIN, raw_ms=raw, reference_ms=reference), {})

    assert common_speed([one(10.0, 8.0), one(12.0, 9.6), one(30.0, 12.0)]) == ([12.0, 12.0, 24.0], 9.6)
    without = Measured(None, replace(PLAIN, latency_ms=5.0, reference_ms=None), {})
    assert common_speed([without, one(10.0, 8.0)]) == ([5.0, PLAIN.latency_ms], 0.0)


def test_comparison_takes_turns_and_gives_an_interval():
    order = []

    class Noted(Drifting):
        def measure(self, model, settings):
            order.append(model.name)
            return super().measure(model, settings)

    small, large = (model_of(replace(a, name=n)) for a, n in zip(covering(SPACE, 2), "ab", strict=True))
    noted = Noted()
    results, (found,) = compare([(small, noted), (large, noted)], Settings(), rounds=3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    expected = device_ms(large.architecture) / device_ms(small.architecture)
    assert found.ratio == pytest.approx(expected)
    assert found.differs
    assert len(results) == 2
    with pytest.raises(InputError, match="at least two"):
        compare([(small, noted)], Settings())


def test_an_interval_holds_its_median_and_narrows():
    assert interval([1.0] * 8) == (1.0, 1.0)
    low, high = interval([0.97, 1.02, 0.99, 1.01, 1.0, 1.03, 0.98, 1.0])
    assert 0.96 < low <= 1.0 <= high < 1.04


def test_a_published_tables_predictor_is_a_start_too():
    prior = fit_table(read_table(PIXEL1), "pixel 1")
    few = calibrate(Drifting(), SPACE, samples=12, held_out=10, prior=prior, seed=3)
    assert few.features == prior.features == "coarse"
    assert few.quality["rmspe"] < 0.2
