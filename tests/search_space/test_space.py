import random
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candidates import Architecture, InputError, zoo
from search_space import FactorizedSpace, Point, load_space, parse_space

NAMES = ("mnasnet", "mnasnet-vertex")
seeds = st.integers(0, 2**32 - 1)


@cache
def space_called(name: str) -> FactorizedSpace:
    return load_space(name)


def sampled(name: str, seed: int) -> tuple[FactorizedSpace, Point]:
    space = space_called(name)
    return space, space.sample(random.Random(seed))


@given(st.sampled_from(NAMES), seeds)
@settings(max_examples=150, deadline=None)
def test_encode_inverts_decode_up_to_the_network(name: str, seed: int) -> None:
    space, point = sampled(name, seed)
    arch = space.decode(point)
    canonical = space.encode(arch)
    assert space.decode(canonical) == arch
    assert space.decode(canonical).id == arch.id
    assert space.encode(space.decode(canonical)) == canonical


@given(st.sampled_from(NAMES), seeds)
@settings(max_examples=40, deadline=None)
def test_points_of_the_same_network_share_a_canonical_point_and_others_do_not(name: str, seed: int) -> None:
    space, point = sampled(name, seed)
    arch, canonical = space.decode(point), space.canonical(point)
    for other in space.neighbours(point):
        same = space.decode(other).id == arch.id
        assert (space.canonical(other) == canonical) == same


@given(st.sampled_from(NAMES), seeds)
@settings(max_examples=40, deadline=None)
def test_neighbours_differ_in_one_choice_and_are_all_there(name: str, seed: int) -> None:
    space, point = sampled(name, seed)
    neighbours = list(space.neighbours(point))
    assert len(neighbours) == sum(len(choice.values) - 1 for choice in space.choices)
    for other in neighbours:
        assert sum(other[key] != point[key] for key in point) == 1
        space.decode(other)


def test_sizes_are_the_papers() -> None:
    space = space_called("mnasnet")
    # Blocks 3 to 6 have every value: 4 operations, 2 kernels, 2 SE ratios, 3 skips, 3 widths, 3 depths.
    assert [block.size for block in space.blocks] == [192, 288, 432, 432, 432, 432, 288]
    assert space.size == 192 * 288 * 432**4 * 288
    assert space.size > 432**5
    vertex = space_called("mnasnet-vertex")
    assert [block.size for block in vertex.blocks] == [96, 144, 216, 216, 216, 216, 144]


TINY = """
format: 1
stem: 16
choices:
  op: [conv, dsconv, mbconv3]
  kernel: [3, 5]
  se: [0, 0.25]
  skip: [pool, identity, none]
  width: [0.5, 1]
  layers: [0, 1]
blocks:
  - {stride: 2, channels: 16, layers: 1}
  - {stride: 2, channels: 32, layers: 1, choices: {kernel: [3]}}
"""


def test_distinct_networks_are_counted_exactly() -> None:
    space = parse_space(TINY, "tiny.yaml")
    assert space.size == 144 * 72
    ids = set()
    import itertools

    names = [choice.name for choice in space.choices]
    for values in itertools.product(*(choice.values for choice in space.choices)):
        ids.add(space.decode(dict(zip(names, values, strict=True))).id)
    assert space.distinct == len(ids) < space.size


def test_where_a_layer_could_belong_to_either_block_distinct_is_not_claimed() -> None:
    text = "{format: 1, choices: {op: [conv], layers: [0, 1]}, blocks: [{stride: 1, channels: 8, layers: 1}, {stride: 1, channels: 8, layers: 1}]}"
    space = parse_space(text, "x.yaml")
    assert space.distinct is None
    # Two points, one network, one canonical point.
    first = space.canonical({"b1.op": "conv", "b1.layers": 1, "b2.op": "conv", "b2.layers": 0})
    assert first == space.canonical({"b1.op": "conv", "b1.layers": 0, "b2.op": "conv", "b2.layers": 1})


def test_sampling_is_uniform_over_each_choice_and_repeats_with_the_seed() -> None:
    space = space_called("mnasnet")
    rng = np.random.default_rng(0)
    points = [space.sample(rng) for _ in range(1200)]
    for choice in space.choices:
        counts = [sum(point[choice.name] == value for point in points) for value in choice.values]
        expected = 1200 / len(choice.values)
        assert sum((count - expected) ** 2 / expected for count in counts) < 20, choice.name
    assert space.sample(random.Random(5)) == space.sample(random.Random(5))


def test_what_has_no_effect_is_the_same_network() -> None:
    space = space_called("mnasnet")
    point = space.sample(random.Random(0)) | {"b3.op": "conv", "b3.se": 0.25}
    assert space.decode(point).id == space.decode(point | {"b3.se": 0.0}).id
    one_layer = point | {"b2.layers": -1, "b2.skip": "identity"}
    assert space.decode(one_layer).id == space.decode(one_layer | {"b2.skip": "none"}).id
    assert space.decode(one_layer).id != space.decode(one_layer | {"b2.skip": "pool"}).id


def test_every_block_of_a_point_is_what_the_choices_say() -> None:
    space = space_called("mnasnet")
    point: Point = {}
    for number in range(1, 8):
        point |= {
            f"b{number}.op": "mbconv6",
            f"b{number}.kernel": 5,
            f"b{number}.se": 0.25,
            f"b{number}.skip": "identity",
            f"b{number}.width": 1.0,
            f"b{number}.layers": 0,
        }
    arch = space.decode(point)
    assert [str(block) for block in arch.blocks] == [
        "r1_k5_s11_e6_i32_o16_se0.25_noskip",
        "r2_k5_s22_e6_i16_o24_se0.25",
        "r3_k5_s22_e6_i24_o32_se0.25",
        "r4_k5_s22_e6_i32_o64_se0.25",
        "r3_k5_s11_e6_i64_o96_se0.25",
        "r3_k5_s22_e6_i96_o160_se0.25",
        "r1_k5_s11_e6_i160_o320_se0.25_noskip",
    ]


def test_an_optuna_trial_proposes_a_point() -> None:
    import optuna

    space = space_called("mnasnet")
    point = space.suggest(optuna.create_study().ask())
    assert isinstance(space.decode(point), Architecture)


def test_wrong_points_and_architectures_are_refused() -> None:
    space, point = sampled("mnasnet", 0)
    with pytest.raises(InputError, match=r"b3\.kernel is 7; expected one of \[3, 5\]"):
        space.decode(point | {"b3.kernel": 7})
    with pytest.raises(InputError, match=r"no value for b7\.op"):
        space.decode({key: value for key, value in point.items() if key != "b7.op"})
    with pytest.raises(InputError, match="no choice 'colour'"):
        space.decode(point | {"colour": 1})
    with pytest.raises(InputError, match=r"block 5 .*o112"):
        space.encode(zoo.load("mnasnet-a1"))
    with pytest.raises(InputError, match="its classes is 10; expected 1000"):
        space.encode(space.decode(point).for_input(classes=10))
