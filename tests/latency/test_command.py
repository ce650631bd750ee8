"""nas-latency as a process: what it prints, and how it fails."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from candidates import Architecture
from candidates.onnx_writer import onnx_model
from candidates.tflite_writer import tflite_model

TINY = Architecture.from_blocks(
    ["r1_k3_s22_e1_i8_o8"], stem=8, head=16, resolution=32, classes=3, name="tiny"
)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.onnx").write_bytes(onnx_model(TINY).SerializeToString())
    (tmp_path / "b.onnx").write_bytes(onnx_model(TINY.scaled(resolution=96)).SerializeToString())
    (tmp_path / "c.tflite").write_bytes(tflite_model(TINY))
    TINY.save(tmp_path / "tiny.json")
    return tmp_path


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")  # no server of this machine's user is asked

    def call(*arguments):
        command = [
            sys.executable,
            "-c",
            "from nas.commands.latency import main; main()",
            *map(str, arguments),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    return call


QUICK = ("--blocks", "1", "--no-reference")


def test_json_is_one_list_of_measurements(run, files):
    done = run("a.onnx", "tiny.json", "--threads", "1,2", "--json", *QUICK)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert [(m["model"], m["threads"]) for m in found] == [
        ("a.onnx", 1),
        ("a.onnx", 2),
        ("tiny", 1),
        ("tiny", 2),
    ]
    assert all(m["count"] >= 50 and m["runtime"] == "onnxruntime" for m in found)


def test_the_table_is_for_people_and_the_store_remembers(run, files):
    first = run("a.onnx", *QUICK)
    assert "a.onnx" in first.stdout
    assert "cpu, onnxruntime" in first.stdout
    history = json.loads(run("history", "a.onnx", "--json").stdout)
    assert len(history) == 1
    again = run("a.onnx", "--json", *QUICK)
    if history[0]["valid"]:
        assert "measured at" in again.stderr
        assert json.loads(again.stdout)[0]["latency_ms"] == history[0]["latency_ms"]
    run("a.onnx", "--fresh", *QUICK)
    assert run("history", "a.onnx").stdout.count("\n") >= 2


def test_comparison_finds_the_slower_one(run, files):
    done = run("a.onnx", "b.onnx", "--compare", "--json", "--no-reference")
    found = json.loads(done.stdout)
    (comparison,) = found["comparisons"]
    assert (comparison["model"], comparison["baseline"]) == ("b.onnx", "a.onnx")
    assert comparison["ratio"] > 2
    assert comparison["differs"]
    assert comparison["interval"][0] <= comparison["ratio"] <= comparison["interval"][1]
    assert len(found["measurements"]) == 2


def test_the_two_runtimes_of_a_cpu_are_compared(run, files):
    done = run("a.onnx", "c.tflite", "--compare", "--json", "--no-reference")
    found = json.loads(done.stdout)
    assert [one["runtime"] for one in found["measurements"]] == ["onnxruntime", "litert"]
    assert found["comparisons"][0]["model"] == "c.tflite"


def test_a_tflite_file_is_measured_in_python_as_by_the_command(files):
    import latency

    found = latency.measure(files / "c.tflite", blocks=1, min_runs=5, min_seconds=0.02, reference=False)
    assert (found.device, found.runtime) == ("cpu:litert", "litert")


def test_a_profile_takes_its_turn_on_the_device(monkeypatch):
    from latency.model import model_of
    from nas.commands.latency import _profile

    held = []

    @contextmanager
    def alone(device):
        held.append(device)
        yield

    monkeypatch.setattr("latency.device.alone", alone)
    assert _profile([model_of(TINY)], 1, "cpu", None)
    assert held == ["cpu"]


def test_a_profile_with_its_chart(run, files):
    done = run("tiny.json", "--profile", "--chart", "p.svg")
    assert done.returncode == 0
    assert "classifier" in done.stdout
    assert (files / "p.svg").read_text().startswith("<svg")
    assert len(json.loads(run("tiny.json", "--profile", "--json").stdout)["layers"]) == len(TINY.layers)


def test_litert_and_another_resolution(run, files):
    done = run("c.tflite", "tiny.json", "--device", "cpu:litert", "--json", *QUICK)
    assert [m["runtime"] for m in json.loads(done.stdout)] == ["litert", "litert"]
    (found,) = json.loads(run("tiny.json", "--resolution", "64", "--json", *QUICK).stdout)
    assert found["resolution"] == 64


def test_batches_and_frames_per_second(run, files):
    done = run("tiny.json", "--batch", "1,8", "--fps", "--json", *QUICK)
    one, eight = json.loads(done.stdout)
    assert (one["batch"], eight["batch"]) == (1, 8)
    assert eight["frames_per_second"] == pytest.approx(8000 / eight["latency_ms"])
    table = run("tiny.json", "--fps", "--width", "0.5", *QUICK).stdout
    assert "frames/s" in table
    assert "tiny-0.5" in table


def test_devices_are_listed(run):
    found = json.loads(run("devices", "--json").stdout)
    assert found[0]["device"] == "cpu"
    assert found[0]["formats"] == ["onnx", "tflite"]
    assert "cpu" in run("devices").stdout


def test_auto_says_what_it_took(run, files):
    done = run("a.onnx", "--device", "auto", "--json", *QUICK)
    assert "no usable phone is attached" in done.stderr
    assert json.loads(done.stdout)[0]["device"] == "cpu"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "MODEL"),
        (("nothing.onnx",), "'nothing.onnx' does not exist"),
        (("mnasnet-a9",), "mnasnet-a1"),
        (("a.onnx", "--threads", "0"), "--threads is '0'"),
        (("a.onnx", "--threads", "1,x"), "--threads is '1,x'"),
        (("a.onnx", "--blocks", "0"), "blocks is 0"),
        (("a.onnx", "--batch", "0"), "--batch is '0'"),
        (("a.onnx", "--batch", "2"), "its input is for 1 image(s), and --batch is 2"),
        (("tiny.json", "--batch", "2", "--profile"), "--batch is for measurements"),
        (("a.onnx", "--width", "0.5"), "--width is for architectures"),
        (("tiny.json", "--width", "0"), "width is 0"),
        (("a.onnx", "--resolution", "64"), "--resolution is for architectures"),
        (("a.onnx", "--device", "cpu:tpu"), "device 'cpu:tpu' is unknown"),
        (("a.onnx", "--device", "pixel"), "attached: none"),
        (("a.onnx", "--device", "cpu:litert"), "cpu:litert cannot run .onnx files (it runs .tflite only)"),
        (("c.tflite", "a.onnx", "--device", "cpu:litert"), "cpu:litert cannot run .onnx files"),
        (("c.tflite", "a.onnx", "--compare", "--device", "cpu:litert"), "cpu:litert cannot run .onnx files"),
        (("a.onnx", "--compare"), "expected at least two"),
        (("a.onnx", "--chart", "x.png", "--profile"), ".svg"),
        (("c.tflite", "--profile"), "only ONNX Runtime can be profiled"),
        (
            ("a.onnx", "b.onnx", "--compare", "--blocks", "3"),
            "--blocks is for plain measurements, not for --compare",
        ),
        (("a.onnx", "--profile", "--threads", "1,2"), "--threads is 1,2; expected one number with --profile"),
        (("a.onnx", "--profile", "--no-reference"), "--no-reference is for measurements"),
        (("calibrate", "--from-table", "t.csv", "--samples", "9"), "--samples is for measuring"),
        (("calibrate", "--samples", "2"), "samples is 2"),
        (("calibrate", "--space", "nowhere"), "nowhere"),
        (("calibrate", "--leave-one-out"), "--from-table"),
        (("calibrate", "--from-table", "none.csv"), "none.csv"),
        (("build-runner", "--compiler", "no-such-cc"), "no-such-cc"),
        (("build-runner", "--compiler", "cc", "--ndk", "x"), "two compilers"),
        (("history", "nothing.onnx"), "does not exist"),
    ],
)
def test_wrong_use_is_one_line_and_2(run, files, arguments, said):
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_help_is_quick(run):
    best = 9.0
    for _ in range(3):
        start = time.perf_counter()
        assert run("--help").returncode == 0
        best = min(best, time.perf_counter() - start)
    assert best < 1.0  # half a second on a quiet machine
