"""Whatever is read as a block, an architecture, a candidate or a space: an InputError, or what was meant."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from candidates import Architecture, Block, InputError
from nas.candidate import Candidate
from search_space import parse_space, space_text

ARCH = Architecture.from_blocks(["r1_k3_s11_e1_i8_o8_se0.25"], stem=8, head=16, resolution=16, classes=4)
TOKENS = [
    "r1",
    "r2",
    "k3",
    "k5",
    "k4",
    "s11",
    "s22",
    "s33",
    "e1",
    "e6",
    "i8",
    "o8",
    "se0.25",
    "se1e-05",
    "se2",
]
WORDS = [
    "noskip",
    "pool",
    "conv",
    "dsconv",
    "mbconv",
    "relu",
    "swish",
    "",
    "r0",
    "se",
    "se1e999",
    "k٣",
    "x1",
    "\n",
]
QUICK = settings(max_examples=100, deadline=None)

odd_numbers = st.sampled_from(
    [0, -1, 1, 3, 2**31, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf"), True]
)
values = st.recursive(
    st.none() | odd_numbers | st.text(max_size=5) | st.sampled_from(["\ud800", "relu", "none", "same"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def only_input_errors(read, *arguments):
    with suppress(InputError):
        read(*arguments)


def same_after_reading(arch):
    assert Architecture.from_json(arch.to_json()) == arch
    arch.to_json().encode()


@QUICK
@given(st.text(max_size=30) | st.lists(st.sampled_from(TOKENS + WORDS), max_size=10).map("_".join))
@example("r1_k3_s11_e1_i8_o8_se1e400")
@example("r1_k3_s11_e1_i8_o8\n")
@example("_" * 10_000)
def test_block_strings(text):
    with suppress(InputError):
        block = Block.parse(text)
        assert Block.parse(str(block)) == block


@QUICK
@given(
    st.permutations(["r2", "k3", "s12", "e6", "i8", "o16"]),
    st.lists(st.sampled_from(TOKENS + WORDS), max_size=3),
)
def test_blocks_that_are_nearly_right(tokens, more):
    with suppress(InputError):
        block = Block.parse("_".join([*tokens, *more]))
        assert Block.parse(str(block)) == block


@pytest.mark.parametrize("value", [None, 3, b"r1", ["r1"], {}])
def test_blocks_that_are_no_text(value):
    with pytest.raises(InputError, match="is not text"):
        Block.parse(value)


@QUICK
@given(st.text(max_size=40) | values.map(json.dumps))
def test_any_text_as_an_architecture_and_a_candidate(text):
    only_input_errors(Architecture.from_json, text)
    only_input_errors(Candidate.from_json, text)


@QUICK
@given(st.sampled_from([*json.loads(ARCH.to_json()), "id", "spec", "new"]), values)
def test_architectures_with_one_odd_value(key, value):
    text = json.dumps({**json.loads(ARCH.to_json()), key: value})
    with suppress(InputError):
        same_after_reading(Architecture.from_json(text))


@QUICK
@given(st.sampled_from([*Candidate(ARCH, 0.5, 1.0).to_dict(), "found", "within_target", "new"]), values)
def test_candidates_with_one_odd_value(key, value):
    text = json.dumps({**Candidate(ARCH, 0.5, 1.0).to_dict(), key: value})
    with suppress(InputError):
        candidate = Candidate.from_json(text)
        assert candidate.architecture == ARCH
        candidate.to_json().encode()


SPACE = {
    "format": 1, "name": "small", "stem": 8, "head": 16, "resolution": 32, "activation": "relu",
    "choices": {"op": ["conv", "mbconv"], "expansion": [3], "kernel": [3, 5], "width": [1, 1.25], "layers": [0, 1]},
    "blocks": [{"stride": 1, "channels": 8, "layers": 1}, {"stride": 2, "channels": 16, "layers": 2}],
}  # fmt: skip


def tried(text):
    """Parse a space; where that works, the extremes of every choice must decode too."""
    space = parse_space(text, "fuzzed.yaml")
    for pick in (min, max):
        point = {
            c.name: pick(c.values, key=lambda value: (isinstance(value, str), value)) for c in space.choices
        }
        same_after_reading(space.decode(point))


@QUICK
@given(st.sampled_from([*SPACE, "classes", "padding", "bn_epsilon", "new"]), values)
def test_spaces_with_one_odd_setting(key, value):
    with suppress(InputError):
        tried(json.dumps({**SPACE, key: value}))


@QUICK
@given(st.sampled_from([*SPACE["choices"], "se", "skip", "new"]), st.lists(values, max_size=3) | values)
def test_spaces_with_one_odd_choice(key, value):
    with suppress(InputError):
        tried(json.dumps({**SPACE, "choices": {**SPACE["choices"], key: value}}))


@QUICK
@given(st.integers(0, 1), st.sampled_from(["stride", "channels", "layers", "choices", "new"]), values)
def test_spaces_with_one_odd_block(index, key, value):
    blocks = [dict(block) for block in SPACE["blocks"]]
    blocks[index][key] = value
    with suppress(InputError):
        tried(json.dumps({**SPACE, "blocks": blocks}))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damaged_yaml(data):
    text = space_text("mnasnet")
    at = data.draw(st.integers(0, len(text)))
    new = data.draw(st.text("[]{}&*!|>?:-#'\"%@`, \n\t0a<\0\x85\ud800\U0001f600", max_size=6))
    only_input_errors(parse_space, text[:at] + new + text[at + data.draw(st.integers(0, 9)) :], "fuzzed.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "", "\0", "- 1", "? {a: 1}\n: 2", "? [a]\n: 2", "!!set {a}", "!!omap 1", "!!map x", "!!timestamp x", "a: !!int x",
        "!!binary a", "<<: 1", "<<: [1]", "{<<: {format: 1}, format: 1}", "a: *b", "&a {a: *a}", "--- 1\n--- 2",
        "%YAML 9.9\n--- 1", "1: 2", "a: 1e999999", "a: 1_000:99:99", "a: 0o9", "a: 2001-02-30", "a: !!python/name:os.x",
    ],
)  # fmt: skip
def test_odd_yaml(text):
    with pytest.raises(InputError, match=r"odd\.yaml"):
        parse_space(text, "odd.yaml")


def test_aliases_that_would_unfold_to_gigabytes():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    bomb = "\n".join(lines)
    for text in (bomb, f"{bomb}\nformat: *a29", f"format: 1\nblocks: 1\nname: 1\n{bomb}"):
        with pytest.raises(InputError, match=r"bomb\.yaml") as caught:
            parse_space(text, "bomb.yaml")
        assert len(str(caught.value)) < 1000
