"""What the commands answer to wrong input: one line that names the value and the remedy, and nothing made."""

import contextlib
import gc
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from candidates import Architecture, build
from nas.candidate import Candidate
from nas.commands.app import status
from nas.run_folder import create
from nas.settings import SearchSettings
from search_space import space_text
from tests.nas.trainer.conftest import save_photos

SMALL = Architecture.from_blocks(["r1_k3_s11_e1_i8_o8"], stem=8, head=16, resolution=16, classes=4)


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run a command in an empty folder; returns its exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setattr("nas.cpu.prepare", lambda: None)

    def command(name, *arguments):
        module = importlib.import_module(f"nas.commands.{name.removeprefix('nas-')}")
        capfd.readouterr()
        gc.disable()  # what earlier tests left has finalizers that fail, and say so, at the depth of a nested input
        try:
            code = status(module.app, name, [str(argument) for argument in arguments])
        finally:
            gc.enable()
        return SimpleNamespace(code=code, **capfd.readouterr()._asdict())

    return command


@pytest.fixture
def refused(run, tmp_path):
    """Run a command that must end with one line matching `words`, having made and changed no file."""

    def command(words, name, *arguments, code=2):
        before = snapshot(tmp_path)
        found = run(name, *arguments)
        assert found.code == code, found.err
        assert found.err.count("\n") == 1
        assert found.err.startswith(f"{name}: ")
        assert len(found.err) < 1500
        assert "Traceback" not in found.err
        assert "(a bug;" not in found.err
        assert re.search(words, found.err), found.err
        assert snapshot(tmp_path) == before
        return found

    return command


def snapshot(folder):
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*") if ".cache" not in p.parts}


@pytest.fixture
def run_folder(tmp_path):
    """A run folder that has no trial yet."""
    device = {"name": "cpu", "runtime": "onnxruntime", "runtime_version": "1"}
    settings = SearchSettings(target_ms=5.0, device="cpu", trials=3)
    return create(tmp_path / "a-run", settings, space_text("mnasnet"), device)


def rewrite(folder, change):
    """Change run.json: by a function of its content, or to a text."""
    file = folder.path / "run.json"
    if isinstance(change, str):
        file.write_text(change)
        return
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


# nas-search, before anything is opened


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], r"Missing option '--target-ms'; for example --target-ms 78"),
        (["--target-ms"], "--target-ms.*'--device'"),
        (["--target-ms", "fast"], "--target-ms.*'fast'"),
        (["--target-ms", "0"], "target-ms is 0.0; expected a number above 0"),
        (["--target-ms", "-3"], "target-ms is -3.0; expected a number above 0"),
        (["--target-ms", "nan"], "target-ms is nan; expected a finite number"),
        (["--target-ms", "inf"], "target-ms is inf; expected a finite number"),
        (["--target-ms", "1e-300"], "target-ms is 1e-300; expected a number from 1e-06 to 1e"),
        (["--target-m", "5"], r"--target-m.*did you mean --target-ms\?"),
        (["--target-ms", "5", "extra"], "unexpected extra argument.*extra"),
        (["--target-ms", "5", "--space", "mnasnett"], r"space is 'mnasnett'; .*did you mean mnasnet\?"),
        (["--target-ms", "5", "--space", "none.yaml"], "cannot read none.yaml: No such file"),
        (["--target-ms", "5", "--space", "~nobody-here/s.yaml"], "space '~nobody-here/s.yaml' cannot be a path"),
        (["--target-ms", "5", "--device", "cpu9"], "device 'cpu9' is unknown; expected one of cpu, cpu:litert"),
        (["--target-ms", "5", "--device", "nexus9"], "device 'nexus9' matches no attached phone.*--device cpu"),
        (["--target-ms", "5", "--sampler", "tpee"], r"sampler is 'tpee'; expected one of .*did you mean tpe\?"),
        (["--target-ms", "5", "--objective", "soft2"], r"objective is 'soft2'; .*did you mean soft\?"),
        (["--target-ms", "5", "--data", "nowhere"], "nowhere' does not exist; expected digits, a folder"),
        (["--target-ms", "5", "--data", "~nobody-here"], "data '~nobody-here' cannot be a path"),
        (["--target-ms", "5", "--data", "x" * 5000], "data 'xxx.* cannot be a path: File name too long"),
        (["--target-ms", "5", "--data", "."], r"holds no images: looked for .*/train/<class>"),
        (["--target-ms", "5", "--trials", "0"], "trials is 0; expected a whole number of at least 1"),
        (["--target-ms", "5", "--trials", "2.5"], "--trials.*'2.5'"),
        (["--target-ms", "5", "--resolution", "0"], "resolution is 0; expected a whole number of at least 1"),
        (["--target-ms", "5", "--resolution", "3"], "resolution 3 cannot give.*expected at least 4"),
        (["--target-ms", "5", "--resolution", "9999999"], "resolution is 9999999; expected at most 4096"),
        (["--target-ms", "5", "--proxy-resolution", "1"], "proxy-resolution is 1; expected .* at least 2"),
        (["--target-ms", "5", "--proxy-resolution", "99999"], "proxy-resolution is 99999; expected at most 1024"),
        (["--target-ms", "5", "--proxy-samples", "5"], "proxy-samples is 5; expected .* at least 10"),
        (["--target-ms", "5", "--classes", "1"], "classes is 1; expected a whole number of at least 2"),
        (["--target-ms", "5", "--classes", "4"], "--classes is 4, but digits .* has 10 classes"),
        (["--target-ms", "5", "--threads", "0"], "threads is 0; expected a whole number of at least 1"),
        (["--target-ms", "5", "--threads", "100000"], "threads is 100000; expected at most 1024"),
        (["--target-ms", "5", "--epochs", "0"], "epochs is 0; expected a whole number of at least 1"),
        (["--target-ms", "5", "--confirm", "-1"], "confirm is -1; expected a whole number of at least 0"),
        (["--target-ms", "5", "--seed", "-1"], "seed is -1; expected a whole number of at least 0"),
        (["--target-ms", "5", "--seed", str(2**70)], "seed is 1180591620717411303424; expected at most"),
        (["--target-ms", "5", "--alpha", "1"], "alpha is 1.0; expected a number from -10 to 0"),
        (["--target-ms", "5", "--beta", "nan"], "beta is nan; expected a finite number"),
        (["--target-ms", "5", "--max-latency-factor", "0.5"], "max-latency-factor is 0.5; expected a number from 1"),
        (["--target-ms", "5", "--max-latency-factor", "inf"], "max-latency-factor is inf; expected a finite"),
        (["--target", "cpu=9", "--target-ms", "5"], "--target and --target-ms exclude each other"),
        (["--target", "cpu=9", "--device", "cpu"], "--target and --device exclude each other"),
        (["--target", "cpu"], "--target is 'cpu'; expected DEVICE=MILLISECONDS"),
        (["--target", "cpu=9", "--target", "nexus9=5"], "device 'nexus9' matches no attached phone"),
        (["--target", "cpu=9", "--target", "cpu:litert=5", "--objective", "pareto"], "takes one device"),
        (["--resume", "a", "--out", "b"], "--out and --resume exclude each other"),
        (["--resume", "nothing-here"], "nothing-here is not a run folder: it has no run.json"),
        (["--resume", "~nobody-here"], "run folder '~nobody-here' cannot be a path"),
    ],
)  # fmt: skip
def test_search_refuses(refused, arguments, words):
    named = {"--device", "--resume", "--target"}
    device = [] if named & set(arguments) else ["--device", "cpu"]
    refused(words, "nas-search", *arguments, *device)


def test_search_refuses_an_out_that_is_taken(refused, run_folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for out, words in [
        ("file", "--out file: file is a file; expected a folder"),
        ("file/below/it", "--out file/below/it: .*file is a file; expected a folder"),
        ("full", "full exists already; choose another --out"),
        ("link", "--out link is a link to nothing"),
        ("a-run", "a-run exists already; go on with it by --resume a-run"),
        ("~nobody-here/x", "--out '~nobody-here/x' cannot be a path"),
        ("x" * 300, "--out 'xxx.* cannot be a path: File name too long"),
    ]:
        refused(words, "nas-search", "--target-ms", 5, "--device", "cpu", "--out", out)


SPACE = "format: 1\nchoices: {op: [mbconv3, mbconv6]}\nblocks:\n  - {stride: 1, channels: 8, layers: 1}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is None; expected a mapping"),
        ("[", "is not YAML"),
        ("[" * 3000, "is not YAML"),
        ("a: &a [*a]\n", "has no format; expected format: 1"),
        ("format: 2001-99-99\n", "has format '2001-99-99'"),
        ("format: !!python/object:os.system 1\n", "is not YAML: could not determine a constructor"),
        ("format: !!map 1\n", "is not YAML"),
        (SPACE.replace("format: 1", "format: 2"), "has format 2; this version reads format 1; a newer version"),
        (SPACE.replace("format: 1", "format: " + "9" * 5000), "is not YAML: Exceeds the limit"),
        (SPACE.replace("format: 1", "format: 0x" + "f" * 9000), "has format a number of 36000 bits"),
        (SPACE + "format: 1\n", "line 5: the key 'format' is there twice"),
        (SPACE + "stems: 8\n", r"key is 'stems'; expected one of .*did you mean stem\?"),
        (SPACE + "stem: [8]\n", r"stem|in_channels is \[8\]; expected a whole number"),
        (SPACE + "resolution: .nan\n", "resolution is nan; expected a whole number"),
        (SPACE + "bn_epsilon: 1" + "0" * 400 + "\n", "bn_epsilon is a number of 1329 bits; expected a finite"),
        (SPACE + "activation: [relu]\n", r"activation is \['relu'\]; expected one of hswish, relu"),
        (SPACE + "name: 7\n", "name is 7; expected text"),
        (SPACE.replace("mbconv3", "mbconv0"), r"choices.op\[1\] is 'mbconv0'; expected conv, dsconv"),
        (SPACE.replace("mbconv3", "mbconv6"), r"choices.op has a value twice"),
        (SPACE.replace("op: [", "width: [1.0e+308], op: ["), r"width\[1\] is 1e\+308; expected a number from 0 to 10000"),
        (SPACE.replace("op: [", "width: [.inf], op: ["), r"width\[1\] is inf; expected a finite number"),
        (
            SPACE.replace("op: [", "width: [1, 99], op: [").replace("channels: 8", "channels: 90000"),
            "out_channels is 8910000; expected at most 1000000",
        ),
        (SPACE.replace("stride: 1", "stride: 3"), r"blocks\[1\].stride is 3; expected at most 2"),
        (SPACE.replace("layers: 1", "layers: yes"), r"blocks\[1\].layers is True; expected a whole number"),
        ("format: 1\nchoices: {op: [conv]}\nblocks: []\n", "blocks is empty; expected at least one block"),
        ("format: 1\nblocks: [1]\n", r"blocks\[1\] is 1; expected a mapping"),
    ],
)  # fmt: skip
def test_search_refuses_spaces(refused, tmp_path, text, words):
    (tmp_path / "my.yaml").write_text(text)
    refused(
        rf"my\.yaml: .*({words})", "nas-search", "--target-ms", 5, "--device", "cpu", "--space", "my.yaml"
    )


def test_search_refuses_a_space_that_is_no_text(refused, tmp_path):
    (tmp_path / "my.yaml").write_bytes(b"\xff\xfe\x00")
    refused("my.yaml is not UTF-8 text", "nas-search", "--target-ms", 5, "--space", "my.yaml")


# run folders

DEEP = '{"a":' * 5000 + "1" + "}" * 5000
BROKEN_RUNS = [
    ("", "run.json cannot be read as JSON"),
    ("{", "run.json cannot be read as JSON"),
    (DEEP, "run.json cannot be read as JSON: maximum recursion depth"),
    ('{"format": ' + "9" * 5000 + "}", "run.json cannot be read as JSON: Exceeds the limit"),
    ("[]", r"run.json is \[\]; expected a mapping"),
    (
        lambda r: r.update(format=2),
        "has format 2; this version reads format 1; a newer version wrote it, so update",
    ),
    (lambda r: r.update(format=True), "has format True"),
    (lambda r: r.pop("format"), "has no format; expected format: 1"),
    (lambda r: r["device"].update(also=5), "device's also is 5; expected a list"),
    (lambda r: r["device"].update(also=[5]), "has 2 devices and 1 targets"),
    (lambda r: r.update(settings=[1]), r"run.json: settings is \[1\]; expected a mapping"),
    (lambda r: r.pop("device"), "run.json: device is None; expected a mapping"),
    (lambda r: r["device"].pop("name"), "run.json: device's name is None; expected text"),
    (lambda r: r.pop("versions"), "run.json: versions is None"),
    (lambda r: r.pop("space_yaml"), "run.json: space_yaml is None; expected text"),
    (lambda r: r["settings"].pop("target_ms"), "run.json: settings have no target_ms"),
    (lambda r: r["settings"].update(target_ms=float("nan")), "run.json: target-ms is nan"),
    (lambda r: r["settings"].update(target_ms=10**400), "run.json: target-ms is a number of 1329 bits"),
    (lambda r: r["settings"].update(target_ms="5"), "run.json: target-ms is '5'; expected a finite number"),
    (lambda r: r["settings"].update(trials=1.5), "run.json: trials is 1.5; expected a whole number"),
    (lambda r: r["settings"].update(space={}), "run.json: space is {}; expected text"),
    (lambda r: r["settings"].update(data=5), "run.json: data is 5; expected text"),
    (lambda r: r["settings"].update(colour="red"), "run.json: settings: key is 'colour'; expected one of"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN_RUNS)
def test_broken_runs(refused, run_folder, change, words):
    rewrite(run_folder, change)
    refused(words, "nas-search", "--resume", run_folder.path)
    refused(words, "nas-report", run_folder.path)


def test_a_broken_space_in_a_run(refused, run_folder):
    rewrite(run_folder, lambda record: record.update(space_yaml="format: 7"))
    (run_folder.path / ".lock").touch()
    refused("mnasnet: the space has format 7", "nas-search", "--resume", run_folder.path)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("target-ms", 6, r"--target-ms is 6.0, but the run was started with 5.0; leave --target-ms out"),
        ("data", "elsewhere", r"--data is '.*/elsewhere', but the run was started with 'digits'"),
        ("sampler", "random", "--sampler is 'random', but the run was started with 'surrogate'"),
        ("objective", "pareto", "--objective is 'pareto', but the run was started with 'soft'"),
        ("space", "mnasnet-vertex", "--space is 'mnasnet-vertex', but the run was started with 'mnasnet'"),
        ("device", "cpu:litert", "--device is 'cpu:litert', but the run was started with 'cpu'"),
        ("max-latency-factor", 3, "--max-latency-factor is 3.0, but the run was started with 2.0"),
        ("proxy-samples", 100, "--proxy-samples is 100, but the run was started with None"),
        ("seed", 1, "--seed is 1, but the run was started with 0"),
        ("trials", 0, "trials is 0; expected a whole number of at least 1"),
        ("data", "~nobody-here", "data '~nobody-here' cannot be a path"),
    ],
)
def test_contradictions_of_a_resumed_run_are_named(refused, run_folder, option, value, words):
    refused(words, "nas-search", "--resume", run_folder.path, f"--{option}", value)


HOLD = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); input()"


def test_a_run_that_another_search_works_in(refused, run_folder, quick):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, run_folder.path / ".lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        words = "a-run is in use by another search; wait for it or stop it"
        refused(words, "nas-search", "--resume", run_folder.path, "--trials", 99)
    finally:
        holder.communicate(b"\n", timeout=20)


def test_reports_of_what_is_no_run(refused, run_folder, tmp_path):
    refused("nothing is not a run folder: it has no run.json", "nas-report", "nothing")
    refused("run folder '~nobody-here' cannot be a path", "nas-report", "~nobody-here")
    refused("study.db does not exist: the run has no study", "nas-report", run_folder.path)
    refused("Missing argument", "nas-report")
    (run_folder.path / "study.db").write_bytes(b"no database, but long enough to be looked at. " * 30)
    refused(
        "study.db cannot be read as an Optuna study: DatabaseError: file is not",
        "nas-report",
        run_folder.path,
    )


def test_a_report_escapes_what_the_run_holds(run, run_folder):
    from nas.study import open_study

    evil = "<script>alert(1)</script>"
    open_study(run_folder.database, None, "soft", create=True)
    rewrite(
        run_folder, lambda r: (r["settings"].update(data=evil, space=evil), r["device"].update(name=evil))
    )
    assert run("nas-report", run_folder.path).code == 0
    page = (run_folder.path / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


# candidates


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


# nas-train, before a folder is made


@pytest.fixture
def tiny(tmp_path):
    """An architecture and photographs to train it on."""
    SMALL.save(tmp_path / "tiny.json")
    save_photos(tmp_path / "photos", 3)


NEW = ["tiny.json", "--data", "photos", "--device", "cpu"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument 'CANDIDATE'; for example mnasnet-a1"),
        (["tiny.json"], "Missing option '--data'; for example --data ~/photos"),
        (["tiny.json", "other.json", "--data", "photos"], "got tiny.json other.json; expected one CANDIDATE"),
        (
            ["mnasnet-a9", "--data", "photos"],
            "candidate 'mnasnet-a9' is neither a file nor a folder nor one of",
        ),
        (["tiny.json", "--data", "nowhere"], "nowhere' does not exist; expected digits, a folder"),
        (["tiny.json", "--data", "photos", "--fake-data"], "--data and --fake-data exclude each other"),
        ([*NEW, "--recipe", "mnasnett"], r"recipe is 'mnasnett'; .*did you mean mnasnet\?"),
        ([*NEW, "--recipe", "none.yaml"], "cannot read none.yaml"),
        ([*NEW, "--set", "lr"], "--set lr has no '='"),
        ([*NEW, "--set", "lr=fast"], "--set: lr is 'fast'; expected a finite number"),
        ([*NEW, "--set", "learning=1"], "--set: the recipe: key is 'learning'; expected one of"),
        ([*NEW, "--set", "precision=float16"], "precision float16 is for GPUs"),
        ([*NEW, "--epochs", "0"], "--epochs is 0; expected a whole number of at least 1"),
        ([*NEW, "--global-batch", "1"], "--global-batch is 1; expected a whole number of at least 2"),
        ([*NEW, "--resolution", "0"], "--resolution is 0; expected"),
        ([*NEW, "--width", "0"], "width is 0.0; expected a number above 0"),
        ([*NEW, "--seed", "-1"], "--seed is -1; expected"),
        ([*NEW, "--workers", "-1"], "--workers is -1; expected"),
        ([*NEW, "--checkpoint-steps", "0"], "--checkpoint-steps is 0; expected"),
        (
            ["tiny.json", "--data", "photos", "--device", "tpu"],
            "--device is 'tpu'; expected one of auto, cpu, cuda",
        ),
        ([*NEW, "--out", "tiny.json"], "--out tiny.json: .*is a file; expected a folder"),
        ([*NEW, "--out", "photos"], "photos exists already; choose another --out"),
        ([*NEW, "--init-from", "nowhere"], "--init-from nowhere.* holds no weights that can be read"),
        ([*NEW, "--init-weights", "best"], "--init-weights is 'best'; expected one of ema, plain"),
        (["--resume", "photos"], "photos is not a training folder: it has no training.json"),
        (
            ["tiny.json", "--resume", "photos"],
            "a resumed training keeps its candidate, data, recipe and folder",
        ),
        (["--resume", "photos", "--epochs", "5"], "a resumed training keeps its candidate"),
        (["--resume", "photos", "--evaluate"], "--resume and --evaluate exclude each other"),
        (["mnasnet-a1", "--evaluate", "--data", "photos"], "mnasnet-a1 has no trained weights; train it"),
        (["tiny.json", "--evaluate", "--data", "photos"], "tiny.json is no trained network; expected"),
        (
            ["photos", "--evaluate", "--data", "photos"],
            "photos holds no trained network; expected model.safetensors",
        ),
        (["tiny.json", "--evaluate", "--watch"], "--watch is for a training folder; tiny.json is none"),
        (["tiny.json", "--evaluate", "--split", "all"], "--split is 'all'; expected one of test, val"),
        (["tiny.json", "--predict"], "--predict needs a trained network and images"),
        (["tiny.json", "--predict", "photos"], "tiny.json is no trained network"),
        (["--compare"], "--compare needs training folders"),
        (["--compare", "photos"], "photos is not a training folder"),
    ],
)
def test_train_refuses(refused, tiny, arguments, words):
    refused(words, "nas-train", *arguments)


def test_train_refuses_an_empty_class_and_one_class(refused, tiny, tmp_path):
    (tmp_path / "photos" / "train" / "empty").mkdir()
    refused("empty holds no images; remove the folder or fill it", "nas-train", *NEW)
    (tmp_path / "one" / "a").mkdir(parents=True)
    for file in (tmp_path / "photos" / "train" / "class0").iterdir():
        file.rename(tmp_path / "one" / "a" / file.name)
    refused("one has 1 class; expected at least 2", "nas-train", "tiny.json", "--data", "one")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("name,label\na.png,x", "expected path .or image, file"),
        ("path,kind\na.png,x", "has the columns path, kind; expected label"),
        ("path,label\na.png,x\nb.png", "row 2 has 1 values; expected 2"),
        ("path,label\n,x", "row 1 has no path"),
        ("path,label,split\na.png,x,holdout", "has the split 'holdout'; expected one of train, val, test"),
        ("path,label,split\na.png,x,val", "has no row to train on"),
        (
            "path,label,split\na.png,x,train\nb.png,y,val",
            "row 2 has the class 'y', of which there is no image",
        ),
        ("path,label\nnone.png,x", "none.png does not exist; paths are relative to"),
        ("", "has the columns none; expected path"),
    ],
)
def test_train_refuses_a_wrong_table(refused, tiny, tmp_path, table, words):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "t.csv").write_text(table)
    refused(words, "nas-train", "tiny.json", "--data", "t.csv")


def test_search_checks_its_full_training_first(refused):
    begin = ["nas-search", "--target-ms", "5"]
    refused("--train-best is -1; expected a whole number of at least 0", *begin, "--train-best", "-1")
    refused("recipe is 'sgd'; expected one of", *begin, "--train-best", "1", "--train-recipe", "sgd")
    refused("--train-epochs is 0; expected", *begin, "--train-best", "1", "--train-epochs", "0")


# a full disk


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int):
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def disk(tmp_path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small disk needs root on Linux")
    with small_disk(tmp_path / "disk", 256) as folder:
        yield folder


def fill(folder, leave=0):
    """Take up the disk but for `leave` bytes; returns the file that does."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(ballast, max(0, ballast.stat().st_size - leave))
    return ballast


def full(run, name, *arguments, words):
    found = run(name, *arguments)
    assert found.code == 1, found.err
    assert found.err.count("\n") == 1, found.err
    assert "Traceback" not in found.err
    assert "(a bug;" not in found.err
    assert re.search(words, found.err), found.err


@pytest.mark.parametrize(
    ("formats", "leave"),
    [
        ("torch", 0), ("torch", 24_576), ("torch", 65_536), ("onnx", 24_576), ("tflite", 24_576),
        ("tflite-int8", 24_576), ("onnx-int8", 600_000),
    ],
)  # fmt: skip
def test_a_full_disk_during_an_export(run, disk, tmp_path, formats, leave):
    large = Architecture.from_blocks(
        ["r1_k3_s11_e1_i8_o64"], stem=8, head=1280, resolution=16, classes=40, channels_in=1
    )
    (tmp_path / "large.json").write_text(large.to_json())
    ballast = fill(disk, leave)
    words = r"(?i)disk/.*no space left|no space left.*"
    options = ["--format", formats, "--calibrate", "digits"]
    full(run, "nas-export", "large.json", "--out", disk / "new" / "made", *options, words=words)
    assert list(disk.iterdir()) == [ballast]


class FakeMeasurement(SimpleNamespace):
    def to_dict(self):
        return {"latency_ms": self.latency_ms, "p5_ms": 0.9, "p95_ms": 1.2, "valid": True}


@pytest.fixture
def quick(monkeypatch):
    """Searches without measuring and training."""
    monkeypatch.setattr("nas.prepared.target_notes", lambda prepared: [])
    monkeypatch.setattr(
        "nas.prepared.Prepared.measure",
        lambda self, arch, blocks=1: FakeMeasurement(latency_ms=1.0, valid=True),
    )
    monkeypatch.setattr(
        "nas.proxy.Proxy.train",
        lambda self, arch, seed, watch=None: SimpleNamespace(accuracy=0.5, loss=float(seed), stopped=False),
    )


def test_a_full_disk_at_the_start_of_a_search(run, disk, quick):
    ballast = fill(disk)
    out = disk / "new" / "run"
    words = "run.json: No space left on device; free some space"
    full(run, "nas-search", "--target-ms", 5, "--device", "cpu", "--out", out, words=words)
    assert list(disk.iterdir()) == [ballast]


@pytest.mark.parametrize("leave", [8_192, 60_000, 170_000])
def test_a_full_disk_during_a_search_loses_nothing(run, disk, quick, leave):
    ballast = fill(disk, leave)
    out = disk / "run"
    options = ["--trials", 40, "--device", "cpu"]
    words = "(No space left|database or disk is full|disk I/O error).*go on with nas-search --resume"
    full(run, "nas-search", "--target-ms", 5, *options, "--out", out, words=words)
    assert not list(out.rglob("*.part"))
    ballast.unlink()
    done = out / "trials.csv"
    before = done.read_text().count("COMPLETE") if done.exists() else 0
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    found = run("nas-search", "--resume", out, "--trials", before + 2)
    assert found.code == 0, found.err
    assert done.read_text().count("COMPLETE") >= before + 2


@pytest.mark.parametrize("leave", [0, 40_000, 90_000, 130_000])
def test_a_full_disk_during_a_training_leaves_the_last_checkpoint(run, disk, tiny, tmp_path, leave):
    begin = [*NEW, "--workers", "0", "--epochs", "6", "--global-batch", "4"]
    assert run("nas-train", *begin, "--out", "whole").code == 0
    fill(disk, leave)
    out = disk / "t"
    full(run, "nas-train", *begin, "--out", out, words="(?i)No space left on device.*free some space")
    assert not list(out.rglob("*.part"))
    if not (out / "training.json").exists():
        assert not out.exists()
        return
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    assert run("nas-train", "--resume", out).code == 0
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
