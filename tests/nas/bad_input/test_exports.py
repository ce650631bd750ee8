"""What nas-export answers to broken candidates and weights."""

import json

import pytest

from candidates import Architecture, build
from nas.candidate import Candidate
from tests.nas.bad_input.conftest import DEEP, SMALL


def arch_json(**changes):
    return json.dumps({**json.loads(SMALL.to_json()), **changes})


def candidate_json(**changes):
    return json.dumps({**Candidate(SMALL, 0.5, 1.0).to_dict(), **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read as JSON: Expecting value"),
        ("garbage", "cannot be read as JSON"),
        ("null", "is None; expected a mapping"),
        ("[" * 100_000, "cannot be read as JSON: maximum recursion depth"),
        (DEEP, "cannot be read as JSON"),
        ('{"a":' * 400 + "1" + "}" * 400, "has no format; expected format: 1"),
        ("9" * 5000, "cannot be read as JSON: Exceeds the limit"),
        ("{}", "has no format; expected format: 1"),
        (arch_json(format=99), "has format 99; this version reads format 1; a newer version wrote it"),
        (arch_json(format=10**400), "has format a number of 1329 bits"),
        (arch_json(colour=1), "the architecture: key is 'colour'; expected one of"),
        (arch_json(blocks="r1"), "blocks is 'r1'; expected a list"),
        (arch_json(blocks=[]), "an architecture needs at least one block"),
        (arch_json(blocks=[5]), "a block is 5; expected text"),
        (arch_json(blocks=["r1_k4_s11_e1_i8_o8"]), "token 'k4': expected an odd number, such as k3"),
        (arch_json(blocks=["r1_k٣_s11_e1_i8_o8"]), "token 'k٣': expected an odd number"),
        (arch_json(blocks=["x" * 10**6]), "block 'xxx.*' is unknown|token 'xxx.*' is unknown"),
        (arch_json(blocks=["r999999_k3_s11_e1_i8_o8"]), "repeats is 999999; expected at most 10000"),
        (arch_json(blocks=["r9999_k3_s11_e1_i8_o8"] * 2), "have 19998 layers; expected at most 10000"),
        (arch_json(blocks=["r9_k999_s11_e999_i8_o999999"]), "GB for its weights and activations; expected at most"),
        (arch_json(resolution=1_000_000), "GB for its weights and activations; expected at most 32 GB"),
        (arch_json(resolution=0), "resolution is 0; expected a whole number of at least 1"),
        (arch_json(resolution=1), "resolution 1 is smaller than the total stride 2; use at least 2"),
        (arch_json(resolution=10**400), "resolution is a number of 1329 bits; expected at most"),
        (arch_json(classes=float("nan")), "classes is nan; expected a whole number"),
        (arch_json(classes=True), "classes is True; expected a whole number"),
        (arch_json(stem={"a": 1}), "stem is {'a': 1}; expected a whole number"),
        (arch_json(bn_epsilon=10**400), "bn_epsilon is a number of 1329 bits; expected a finite number"),
        (arch_json(bn_epsilon=float("inf")), "bn_epsilon is inf; expected a finite number"),
        (arch_json(padding=["same"]), r"padding is \['same'\]; expected one of same, symmetric"),
        (arch_json(name=5), "name is 5; expected text"),
        (arch_json(name="two\nlines"), "expected text in one line"),
        (arch_json(name="\ud800"), "cannot be read as JSON: .*surrogates not allowed"),
        (arch_json(id="0123456789ab"), "the architecture's id is '0123456789ab' but its blocks give"),
        (arch_json(spec={}), "list of layers does not follow from its blocks"),
        (candidate_json(format=2), "the candidate has format 2; this version reads format 1; a newer"),
        (candidate_json(architecture=[]), r"the candidate's architecture is \[\]; expected a mapping"),
        (candidate_json(accuracy=float("nan")), "the candidate's accuracy is nan; expected a finite number"),
        (candidate_json(accuracy=97), "the candidate's accuracy is 97; expected a number from 0 to 1"),
        (candidate_json(latency_ms="1"), "the candidate's latency_ms is '1'; expected a finite number"),
        (candidate_json(latency_ms=10**400), "the candidate's latency_ms is a number of 1329 bits"),
        (candidate_json(measurement=3), "the candidate's measurement is 3; expected a mapping"),
        (candidate_json(found=[]), r"the candidate's found is \[\]; expected a mapping"),
        (candidate_json(within_target="yes"), "the candidate's within_target is 'yes'; expected true or false"),
        (candidate_json(id="x"), "the candidate's id is 'x' but its architecture's is"),
        (candidate_json(extra=1), "the candidate: key is 'extra'; expected one of"),
    ],
)  # fmt: skip
def test_export_refuses_candidates(refused, tmp_path, text, words):
    (tmp_path / "odd.json").write_text(text)
    refused(words, "nas-export", "odd.json", "--out", "made", "--format", "torch")


def test_export_refuses(refused, run_folder, tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for candidate, words in [
        ("mnasnet-a2", "candidate 'mnasnet-a2' is neither a file nor a folder nor one of .*mnasnet-a1, "),
        ("~nobody-here", "candidate '~nobody-here' cannot be a path"),
        ("x" * 5000, "candidate 'xxx.* cannot be a path: File name too long"),
        ("binary.json", "binary.json is not UTF-8 text"),
        ("empty", r"empty holds neither best.json \(a run's\) nor architecture.json"),
        ("a-run", "a-run holds neither best.json.*; the run has no finished trial yet"),
    ]:
        refused(words, "nas-export", candidate, "--out", "made")
    for options, words in [
        ([], "Missing option '--out'"),
        (["--out", "file"], "--out file: file is a file; expected a folder"),
        (["--out", "file/below"], "--out file/below: .*file is a file; expected a folder"),
        (["--out", "made", "--format", "onyx"], r"--format is 'onyx'; .*did you mean onnx\?"),
        (["--out", "made", "--format", ","], "--format is ','; expected one or more of torch, onnx, "),
    ]:
        refused(words, "nas-export", "mnasnet-a1", *options)


def test_a_name_with_markup_is_exported_as_text(run, tmp_path):
    evil = "<script>alert(1)</script>"
    (tmp_path / "odd.json").write_text(arch_json(name=evil))
    assert run("nas-export", "odd.json", "--out", "made", "--format", "torch").code == 0
    assert "<script>" not in (tmp_path / "made" / "README.md").read_text()
    assert Architecture.from_json(arch_json(name=evil)).name == evil


@pytest.fixture
def exported(tmp_path):
    """The small architecture with weights, as a training or an export leaves them."""
    from safetensors.torch import save_file

    (tmp_path / "weights").mkdir()
    SMALL.save(tmp_path / "weights" / "architecture.json")
    save_file(build(SMALL).state_dict(), tmp_path / "weights" / "model.safetensors")
    return tmp_path / "weights"


def header(text):
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[:200],
        lambda data: data[:-1],
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: header(b"[]"),
        lambda data: header(b"{"),
        lambda data: header(b"\xff\xfe"),
        lambda data: header(b"[" * 5000),
        lambda data: header(b"{}"),
        lambda data: header(b'{"a": []}'),
        lambda data: header(b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}') + b"1",
        lambda data: header(b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}'),
        lambda data: header(
            b'{"a": {"dtype": "F32", "shape": [0, 1%s], "data_offsets": [0, 0]}}' % (b"0" * 400)
        ),
        lambda data: header(b'{"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 0]}}'),
        lambda data: header(b'{"a": {"dtype": [], "shape": [0], "data_offsets": [0, 0]}}'),
    ],
)
def test_damaged_weights(refused, exported, damage):
    file = exported / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    words = (
        f"model.safetensors does not hold the weights of architecture {SMALL.id}: .*; give the folder that"
    )
    refused(words, "nas-export", exported, "--out", "made")


def test_weights_of_another_architecture(refused, exported):
    other = Architecture.from_blocks(["r1_k5_s11_e1_i8_o16"], stem=8, head=16, resolution=16, classes=4)
    other.save(exported / "architecture.json")
    words = "weights of architecture .*(size mismatch|Missing key|Unexpected key)"
    refused(words, "nas-export", exported, "--out", "made")
    refused("is the folder that is exported; choose another", "nas-export", exported, "--out", exported)


def test_weights_that_are_not_numbers(refused, exported):
    from safetensors.torch import load_file, save_file

    tensors = load_file(exported / "model.safetensors")
    save_file(
        {name: t * float("nan") if t.is_floating_point() else t for name, t in tensors.items()},
        exported / "model.safetensors",
    )
    refused(
        "differs from PyTorch's by nan|not finite",
        "nas-export",
        exported,
        "--out",
        "made",
        "--format",
        "torch",
        code=1,
    )
