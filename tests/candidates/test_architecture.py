import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import Architecture, InputError, zoo
from candidates.rounding import round_channels

# Trainable parameters, and multiply-adds in millions, at 224×224 and 1000 classes.
COUNTS = {
    ("mnasnet-a1", 0.35): (1_747_018, 61.7),
    ("mnasnet-a1", 0.5): (2_082_006, 103.2),
    ("mnasnet-a1", 0.75): (2_912_278, 223.4),
    ("mnasnet-a1", 1.0): (3_887_038, 311.6),
    ("mnasnet-a1", 1.3): (5_468_486, 526.0),
    ("mnasnet-a1", 1.4): (6_105_992, 586.3),
    ("mnasnet-b1", 0.35): (1_788_232, 58.9),
    ("mnasnet-b1", 0.5): (2_218_512, 104.5),
    ("mnasnet-b1", 0.75): (3_170_208, 215.5),
    ("mnasnet-b1", 1.0): (4_383_312, 314.4),
    ("mnasnet-b1", 1.3): (6_282_256, 526.4),
    ("mnasnet-b1", 1.4): (7_115_728, 588.8),
    ("mnasnet-small", 1.0): (2_030_264, 68.3),
    ("mnasnet-d1", 1.0): (3_638_404, 967.7),
    ("mnasnet-d1-320", 1.0): (6_932_240, 3687.9),
    ("mobilenet-v2", 1.0): (3_504_872, 300.8),
}


@pytest.mark.parametrize(("name", "width"), COUNTS)
def test_counts_are_the_published_ones(name: str, width: float) -> None:
    arch = zoo.load(name).scaled(width=width)
    parameters, millions = COUNTS[name, width]
    assert arch.parameters() == parameters
    assert round(arch.multiply_adds() / 1e6, 1) == millions


def test_width_one_changes_nothing_even_where_channels_are_not_multiples_of_eight() -> None:
    d1 = zoo.load("mnasnet-d1")
    assert d1.blocks[1].out_channels == 36
    assert d1.scaled(width=1.0) == d1


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf"), 1e307])
@pytest.mark.parametrize("name", ["mnasnet-a1", "mobilenet-v2"])
def test_a_width_that_none_can_have_is_refused(name: str, width: float) -> None:
    with pytest.raises(InputError, match="width is"):
        zoo.architecture(name).scaled(width=width)


def test_every_other_width_rounds_and_the_head_stays() -> None:
    scaled = zoo.load("mnasnet-d1").scaled(width=1.01)
    assert scaled.blocks[1].out_channels == 40
    assert scaled.head == 1280
    assert zoo.load("mnasnet-a1").scaled(width=0.5).stem == 16


@given(st.integers(1, 4000), st.floats(0.05, 4.0), st.sampled_from([1, 4, 8, 16]))
def test_rounding_gives_multiples_that_lose_at_most_a_tenth(
    channels: int, width: float, divisor: int
) -> None:
    rounded = round_channels(channels, width, divisor)
    if width != 1.0:
        assert rounded % divisor == 0
        assert rounded >= 0.9 * channels * width
        assert rounded <= max(divisor, channels * width + divisor)


def test_divisor_and_minimum_depth_are_arguments() -> None:
    a1 = zoo.load("mnasnet-a1")
    assert a1.scaled(width=0.35, divisor=4).blocks[0].out_channels == 8
    assert a1.scaled(width=0.1, min_depth=16).blocks[0].out_channels == 16


def test_small_inputs_lose_strides_from_the_stem_on_in_the_text_itself() -> None:
    a1 = zoo.load("mnasnet-a1")
    at_32 = a1.for_input(resolution=32, channels_in=1, classes=10)
    assert (at_32.stem_stride, [b.stride for b in at_32.blocks]) == (
        1,
        [(1, 1), (1, 1), (2, 2), (2, 2), (1, 1), (2, 2), (1, 1)],
    )
    assert str(at_32.blocks[1]) == "r2_k3_s11_e6_i16_o24"
    assert a1.for_input(resolution=64).stem_stride == 1
    assert [b.stride for b in a1.for_input(resolution=64).blocks] == [b.stride for b in a1.blocks]
    assert a1.for_input(resolution=65).stem_stride == 2


@given(st.integers(2, 64), st.integers(2, 8))
def test_the_last_feature_map_is_at_least_what_was_asked_with_as_few_strides_removed(
    size: int, least: int
) -> None:
    if size < least:
        with pytest.raises(InputError):
            zoo.load("mnasnet-a1").for_input(resolution=size, min_map=least)
        return
    adapted = zoo.load("mnasnet-a1").for_input(resolution=size, min_map=least)
    strides = [adapted.stem_stride, *(b.stride[0] for b in adapted.blocks)]
    assert _last_map(size, strides) >= least
    original = [2, *(b.stride[0] for b in zoo.load("mnasnet-a1").blocks)]
    removed = [i for i, (now, before) in enumerate(zip(strides, original, strict=True)) if now != before]
    strided = [i for i, stride in enumerate(original) if stride == 2]
    assert removed == strided[: len(removed)]
    if removed:  # putting the last one back would be too much
        strides[removed[-1]] = 2
        assert _last_map(size, strides) < least


def test_a_map_of_one_still_keeps_the_total_stride_within_the_input() -> None:
    adapted = zoo.load("mnasnet-a1").for_input(resolution=9, min_map=1)
    assert [adapted.stem_stride, *(b.stride[0] for b in adapted.blocks)] == [1, 1, 1, 2, 2, 1, 2, 1]


def _last_map(size: int, strides: list[int]) -> int:
    for stride in strides:
        size = -(-size // stride)
    return size


def test_the_id_is_that_of_the_network_not_of_its_text() -> None:
    split = Architecture.from_blocks(["r1_k3_s22_e6_i32_o24", "r1_k3_s11_e6_i24_o24"])
    joined = Architecture.from_blocks(["r2_k3_s22_e6_i32_o24"])
    assert split != joined
    assert split.id == joined.id
    no_effect = Architecture.from_blocks(["r1_k3_s22_e6_i32_o24_noskip"])
    assert no_effect.id == Architecture.from_blocks(["r1_k3_s22_e6_i32_o24"]).id
    pooled = Architecture.from_blocks(["r1_k3_s22_e6_i32_o24_pool"])
    assert pooled.id != no_effect.id


@pytest.mark.parametrize(
    "change", [{"resolution": 192}, {"classes": 10}, {"padding": "same"}, {"bn_epsilon": 1e-5}, {"head": 640}]
)
def test_what_changes_the_network_changes_the_id(change: dict[str, object]) -> None:
    blocks = ["r1_k3_s11_e1_i32_o16"]
    assert Architecture.from_blocks(blocks, **change).id != Architecture.from_blocks(blocks).id


def test_the_id_is_the_same_in_another_process() -> None:
    code = "from candidates import zoo; print(zoo.load('mnasnet-a1').id)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == zoo.load("mnasnet-a1").id


@pytest.mark.parametrize("name", zoo.names())
def test_json_and_files_give_back_an_equal_architecture(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    arch = zoo.load(name).for_input(resolution=48, channels_in=1, classes=7)
    assert type(arch).from_json(arch.to_json()) == arch
    arch.save(tmp_path / "a.json")
    assert type(arch).load(tmp_path / "a.json") == arch
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "newer version"),
        ({"format": None}, "has no format; expected format: 1"),
        ({"blocks": []}, "at least one block"),
        ({"blocks": "r1"}, "expected a list"),
        ({"blocks": [3]}, "expected text"),
        ({"stem": 8.5}, "whole number"),
        ({"stem": True}, "whole number"),
        ({"resolution": 8}, "for_input(8)"),
        ({"padding": "valid"}, "same, symmetric"),
        ({"bn_epsilon": 0}, "above 0"),
        ({"colour": 1}, "'colour'"),
        ({"id": "0" * 12}, "its blocks give"),
    ],
)
def test_wrong_json_is_refused_by_key_and_value(change: dict[str, object], words: str) -> None:
    values = json.loads(zoo.load("mnasnet-a1").to_json()) | change
    with pytest.raises(InputError, match=words.replace("(", r"\(").replace(")", r"\)")):
        Architecture.from_json(json.dumps(values))


def test_channels_that_do_not_fit_are_refused_by_block() -> None:
    with pytest.raises(InputError, match=r"block 2 .* declares i24 but block 1 gives 16"):
        Architecture.from_blocks(["r1_k3_s11_e1_i32_o16", "r1_k3_s22_e6_i24_o24"])
    with pytest.raises(InputError, match="the stem gives 32"):
        Architecture.from_blocks(["r1_k3_s11_e6_i16_o24"])


def test_the_declared_channels_of_mnasnet_small_decide_its_first_skip() -> None:
    small = zoo.load("mnasnet-small")
    assert small.blocks[0].in_channels == 16
    assert small.layers[1].in_channels == 8
    assert small.layers[1].skip == "none"


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(InputError, match=r"mobilenet-v2.*did you mean mnasnet-a1"):
        zoo.load("mnasnet-a")


def test_peak_activation_memory_of_a_network_counted_by_hand() -> None:
    arch = Architecture.from_blocks(
        ["r1_k3_s11_e2_i4_o4"], stem=4, head=8, resolution=8, channels_in=3, classes=2
    )
    # At 4×4 the skip's input (4 channels), the expansion (8) and the depthwise output (8) are alive together.
    assert arch.peak_activation_bytes() == 4 * 16 * (4 + 8 + 8)
