import dataclasses
import json
import math
from random import Random

import numpy as np
import pytest

from candidates import Architecture, InputError, zoo
from candidates.cost import operation_multiply_adds
from candidates.operations import operations
from latency.features import coarse, fine
from latency.fitting import fit_predictor, held_out, quality, sample
from latency.predictor import Predictor, stored, stored_path
from search_space import load_space
from tests.latency.test_pool import Phone

SPACE = load_space("mnasnet")


def cost_of(op):
    """A made-up device: its milliseconds for an operation follow no feature exactly."""
    madds, traffic = (
        operation_multiply_adds(op) / 1e6,
        op.out_channels * op.out_size[0] * op.out_size[1] / 1e6,
    )
    speed = 0.01 if op.groups == 1 else 0.06
    return 0.004 + max(speed * madds, 0.3 * traffic) ** 1.02


def device_ms(arch, speed=1.0):
    return speed * sum(cost_of(op) for op in operations(arch.layers, arch.resolution))


def archs(count, seed):
    rng = Random(seed)
    return [SPACE.decode(SPACE.sample(rng)) for _ in range(count)]


def profiled(arch, speed=1.0):
    ops = operations(arch.layers, arch.resolution)
    times = {index: 1.3 * cost_of(op) for index, op in enumerate(ops)}  # a profiler has a cost of its own
    return sample(arch, device_ms(arch, speed), "fine", times)


@pytest.fixture(scope="module")
def predictor():
    return fit_predictor([profiled(a) for a in archs(40, 1)], device="made up", threads=1, fingerprint="f")


def test_predictions_are_near_the_truth(predictor):
    others = archs(40, 2)
    found = [predictor.predict(a) for a in others]
    q = quality([p.latency_ms for p in found], [device_ms(a) for a in others])
    assert q["within_10"] > 0.95
    assert q["spearman"] > 0.99
    assert np.mean([p.inside for p in found]) > 0.9
    # The uncertainty is neither empty nor boundless.
    inside = [abs(p.latency_ms - device_ms(a)) <= 2 * p.std_ms for p, a in zip(found, others, strict=True)]
    assert np.mean(inside) > 0.85
    assert max(p.std_ms / p.latency_ms for p in found) < 0.2


def test_without_a_profile_it_fits_whole_latencies():
    samples = [sample(a, device_ms(a)) for a in archs(60, 3)]
    errors = held_out(samples, [sample(a, device_ms(a)) for a in archs(30, 4)])
    assert np.mean(np.abs(errors) < 0.10) > 0.8


def test_it_carries_to_a_resolution_it_did_not_see(predictor):
    others = [dataclasses.replace(a, resolution=192) for a in archs(10, 5)]
    errors = [predictor.predict(a).latency_ms / device_ms(a) - 1 for a in others]
    assert max(map(abs, errors)) < 0.15
    # What was not seen is less certain.
    assert np.mean([predictor.predict(a).std_ms / predictor.predict(a).latency_ms for a in others]) > np.mean(
        [predictor.predict(a).std_ms / predictor.predict(a).latency_ms for a in archs(10, 6)]
    )


@pytest.mark.parametrize(
    ("arch", "said"),
    [
        (zoo.load("mnasnet-d1"), "never fitted to depthwise-k7"),
        (archs(1, 7)[0].scaled(resolution=896), "far from what was measured"),
        (
            Architecture.from_blocks(["r1_k3_s11_e1_i32_o64_conv", "r1_k3_s22_e1_i64_o64_conv"]),
            "mix of operations|far from",
        ),
    ],
)
def test_what_is_outside_is_said(predictor, arch, said):
    import re

    found = predictor.predict(arch)
    assert not found.inside
    assert any(re.search(said, reason) for reason in found.reasons)


def test_another_device_needs_few_samples(predictor):
    few = [sample(a, device_ms(a, speed=2.7)) for a in archs(8, 8)]
    adapted = fit_predictor(few, prior=predictor, device="slower")
    others = archs(30, 9)
    errors = [adapted.predict(a).latency_ms / device_ms(a, 2.7) - 1 for a in others]
    assert max(map(abs, errors)) < 0.10
    alone = held_out(few, [sample(a, device_ms(a, 2.7)) for a in others])
    assert np.mean(np.abs(errors)) < np.mean(np.abs(alone))


def test_json_and_back(predictor, tmp_path):
    path = tmp_path / "p.json"
    predictor.save(path)
    assert Predictor.load(path) == predictor
    assert Predictor.load(path).predict(zoo.load("mnasnet-a1")) == predictor.predict(zoo.load("mnasnet-a1"))


def test_the_stored_one_is_found():
    phone = Phone("pixel")
    assert stored(phone, 1) is None
    path = stored_path(phone, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = fit_predictor([sample(a, device_ms(a)) for a in archs(8, 1)], device="pixel")
    made.save(path)
    assert stored(phone, 1) == made
    assert stored(phone, 2) is None
    phone.version = "2"  # other kernels, other latencies
    assert stored(phone, 1) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "newer version"),
        ({"coefficients": {"x": -1.0}}, "x is -1"),
        ({"precision": [[1.0]]}, "row of the predictor has 1"),
        ({"spread": math.nan}, "finite"),
        ({"features": "other"}, "expected one of coarse, fine"),
        ({"scales": None}, "scales"),
        ({"speed": 1}, "speed"),
    ],
)
def test_a_wrong_file_is_refused(predictor, tmp_path, change, said):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({**predictor.to_dict(), **change}))
    with pytest.raises(InputError, match=rf"p\.json.*{said}"):
        Predictor.load(path)


def test_too_few_or_wrong_samples_are_refused():
    with pytest.raises(InputError, match="too few"):
        fit_predictor([sample(a, 1.0) for a in archs(3, 1)], device="x")
    with pytest.raises(InputError, match="above 0"):
        sample(zoo.load("mnasnet-a1"), 0.0)


def test_groups_hold_every_operation_once():
    for arch in [
        *archs(10, 11),
        *(found for found in map(zoo.load, zoo.names()) if isinstance(found, Architecture)),
    ]:
        ops = operations(arch.layers, arch.resolution)
        indices = [i for group in fine(arch) for i in group.operations]
        assert sorted(indices) == list(range(len(ops)))


def test_the_same_signature_means_the_same_features():
    known = {}
    for arch in archs(30, 12):
        for group in fine(arch):
            assert known.setdefault(group.signature, group.features) == group.features


def test_coarse_features_are_the_counts():
    arch = zoo.load("mnasnet-a1")
    values = {group.kind: group.features[group.kind] for group in coarse(arch)}
    total = values["dense.multiply_adds"] + values["depthwise.multiply_adds"]
    assert total * 1e6 == pytest.approx(arch.multiply_adds())
