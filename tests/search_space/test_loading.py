from pathlib import Path

import pytest

from candidates import InputError
from search_space import load_space, parse_space, space_names

GOOD = "format: 1\nchoices: {op: [conv, mbconv6], kernel: [3, 5]}\nblocks:\n- {stride: 2, channels: 16, layers: 1}\n"


def test_a_users_file_is_a_space(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    space = load_space(str(tmp_path / "mine.yaml"))
    assert (space.name, space.size) == ("mine", 4)


def test_names() -> None:
    assert set(space_names()) >= {"mnasnet", "mnasnet-vertex"}
    with pytest.raises(
        InputError, match=r"'mnasnt'; expected one of mnasnet, mnasnet-vertex \(did you mean mnasnet\?\)"
    ):
        load_space("mnasnt")
    with pytest.raises(InputError, match=r"cannot read .*nothing\.yaml"):
        load_space("nothing.yaml")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("format: 1", "format: 9", "format 9; this version reads format 1; a newer version"),
        ("kernel: [3, 5]", "kernel: [3, 4]", r"choices\.kernel\[2\] is 4; expected an odd number"),
        ("kernel: [3, 5]", "kernel: []", r"choices\.kernel is empty"),
        ("kernel: [3, 5]", "kernel: [3, 3]", r"choices\.kernel has a value twice"),
        ("kernel: [3, 5]", "kernel: 3", r"choices\.kernel is 3; expected a list"),
        ("kernel: [3, 5]", "kernels: [3]", r"key is 'kernels'; .*did you mean kernel"),
        ("kernel: [3, 5]", "se: [2]", r"choices\.se\[1\] is 2; expected a number from 0 to 1"),
        (
            "kernel: [3, 5]",
            "skip: [no]",
            r"choices\.skip\[1\] is False; expected one of identity, none, pool",
        ),
        ("kernel: [3, 5]", "width: [-1]", r"choices\.width\[1\] is -1; expected a number above 0"),
        ("op: [conv, mbconv6], ", "", r"blocks\[1\] has no choice op"),
        ("mbconv6]", "mbconv0]", r"choices\.op\[2\] is 'mbconv0'; expected conv"),
        ("mbconv6]", "mbconv]", r"blocks\[1\]: the operation mbconv needs a choice expansion"),
        ("kernel: [3, 5]", "expansion: [3]", r"no effect without the operation mbconv"),
        ("stride: 2", "stride: 3", r"blocks\[1\]\.stride is 3; expected at most 2"),
        ("channels: 16", "channels: many", r"blocks\[1\]\.channels is 'many'"),
        ("layers: 1", "layer: 1", r"key is 'layer'; .*did you mean layers"),
        ("blocks:\n- {stride: 2, channels: 16, layers: 1}", "blocks: []", "blocks is empty"),
        ("format: 1", "format: 1\nstem: a", "stem is 'a'; expected a whole number"),
        ("format: 1", "format: 1\nformat: 1", "the key 'format' is there twice"),
        ("format: 1", "format: 1\nresolution: 1", "resolution 1 is smaller than the total stride"),
        ("blocks:", "blocks: {", "is not YAML"),
        (GOOD, "- 1", "expected a mapping"),
        (GOOD, "format: !!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_errors_give_file_key_and_value(before: str, after: str, words: str) -> None:
    assert before in GOOD
    with pytest.raises(InputError, match=rf"^bad\.yaml: .*{words}") as error:
        parse_space(GOOD.replace(before, after), "bad.yaml")
    assert "\n" not in str(error.value)


def test_a_block_with_too_many_combinations_is_refused() -> None:
    ratios = ", ".join(str(i / 1000) for i in range(1, 800))
    widths = ", ".join(str(1 + i) for i in range(200))
    text = GOOD.replace("kernel: [3, 5]", f"se: [{ratios}], width: [{widths}]")
    with pytest.raises(InputError, match=r"319,600 combinations; expected at most 100,000"):
        parse_space(text, "big.yaml")
