import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import Block, InputError
from candidates.block import ACTIVATIONS, SKIPS

channels = st.integers(1, 2000)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    operation = draw(st.sampled_from(["conv", "mbconv"]))
    plain = operation == "conv"
    return Block(
        repeats=draw(st.integers(1, 9)),
        kernel=draw(st.sampled_from([1, 3, 5, 7, 11])),
        stride=draw(st.tuples(st.sampled_from([1, 2]), st.sampled_from([1, 2]))),
        expansion=1 if plain else draw(st.integers(1, 9)),
        in_channels=draw(channels),
        out_channels=draw(channels),
        se=0.0 if plain else draw(st.one_of(st.just(0.0), st.floats(0.0009765625, 1.0))),
        skip=draw(st.sampled_from(SKIPS)),
        operation=operation,
        activation=draw(st.sampled_from(ACTIVATIONS)),
    )


@given(blocks())
def test_a_block_is_read_back_from_its_text(block: Block) -> None:
    assert Block.parse(str(block)) == block


@pytest.mark.parametrize(
    "text",
    [
        "r1_k3_s11_e1_i32_o16_noskip",
        "r3_k5_s22_e3_i24_o40_se0.25",
        "r2_k3_s12_e1_i16_o24_pool_conv",
        "r4_k3_s22_e6_i32_o64_relu6",
    ],
)
def test_text_in_the_reference_grammar_stays_as_it_is(text: str) -> None:
    assert str(Block.parse(text)) == text


def test_a_depthwise_separable_block_is_an_expansion_of_one() -> None:
    assert Block.parse("r1_k3_s11_i32_o16_dsconv") == Block.parse("r1_k3_s11_e1_i32_o16")


def test_tokens_come_in_any_order() -> None:
    assert Block.parse("o16_i32_e1_s11_k3_r1") == Block.parse("r1_k3_s11_e1_i32_o16")


@pytest.mark.parametrize(
    ("text", "token", "expected"),
    [
        ("r1_k3_s1_e1_i32_o16", "'s1'", "two digits"),
        ("r1_k3_s31_e1_i32_o16", "'s31'", "1 or 2"),
        ("r1_k4_s11_e1_i32_o16", "'k4'", "odd"),
        ("r0_k3_s11_e1_i32_o16", "'r0'", "above 0"),
        ("r1_k3_s11_e1_i32_o16_sex", "'sex'", "ratio"),
        ("r1_k3_s11_e1_i32_o16_se1.5", "se is 1.5", "from 0 to 1"),
        ("r1_k3_s11_e1_i32_o16_nosk", "'nosk'", "noskip"),
        ("r1_k3_s11_e1_i32_o16_r2", "'r2'", "second time"),
        ("r1_k3_s11_e1_i32", "out_channels", "whole number"),
        ("r1_k3_s11_e6_i32_o16_conv", "conv", "expansion 1"),
        ("r1_k3_s11_e6_i32_o16_dsconv", "dsconv", "expansion 1"),
        ("", "''", "unknown"),
        ("r１_k3_s11_e1_i32_o16", "'r１'", "whole number"),
    ],
)
def test_a_wrong_token_is_quoted_with_what_was_expected(text: str, token: str, expected: str) -> None:
    with pytest.raises(InputError) as error:
        Block.parse(text)
    assert token in str(error.value)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(alphabet="rksei0123456789._noskpcvdabx-", max_size=40))
def test_any_text_is_a_block_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        Block.parse(text)
