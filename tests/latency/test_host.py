import os
import subprocess
import sys
import time

import numpy as np
import pytest

import latency
from candidates import Architecture
from candidates.tflite_writer import tflite_model
from latency import machine
from latency.host import HostDevice, _company
from latency.runtimes import LiteRt, OnnxRuntime, random_input
from latency.summary import median

TINY = Architecture.from_blocks(
    ["r1_k3_s22_e1_i8_o8"], stem=8, head=16, resolution=32, classes=3, name="tiny"
)


def test_litert_measures_an_architecture_and_its_file(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tflite_model(TINY))
    for model in (TINY, path):
        found = latency.measure(model, device="cpu:litert", blocks=1, min_runs=20, min_seconds=0)
        assert (found.runtime, found.device) == ("litert", "cpu:litert")
        assert found.runtime_version[0].isdigit()
        assert 0 < found.latency_ms < found.reference_ms


def test_int8_inputs_are_filled_and_measured():
    array = random_input("x", (2, 3), np.int8)
    assert (array.dtype, array.shape) == (np.int8, (2, 3))
    assert array.min() >= 0


@pytest.mark.parametrize(("kind", "name"), [(OnnxRuntime, "x.onnx"), (LiteRt, "x.tflite")])
def test_a_broken_file_is_an_input_error(kind, name):
    for content in (b"", b"garbage" * 100):
        with pytest.raises(latency.InputError, match=name):
            kind().load(content, 1, name)


def test_a_session_refers_to_one_speed():
    device = HostDevice("cpu", OnnxRuntime())
    first, second = (latency.measure(TINY, device, blocks=1, min_runs=40, min_seconds=0) for _ in range(2))
    speeds = device._speeds[1]
    assert len(speeds) >= 2
    assert second.latency_ms == pytest.approx(median_by_burst(second, median(speeds)), rel=0.3)
    assert first.reference == "mnasnet-a1"


def median_by_burst(found, base):
    return found.raw_ms * base / found.reference_ms


def test_company_is_objected_to():
    assert _company(0.99, 0.2) == []
    assert "got 60% of it" in _company(0.6, 0.2)[0]
    assert "loaded 90% of all cores" in _company(0.99, 0.9)[0]


@pytest.mark.skipif(machine.ticks() is None, reason="this system has no /proc/stat")
def test_a_loaded_machine_makes_a_measurement_invalid():
    spin = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        time.sleep(0.5)
        found = latency.measure(TINY, blocks=1, min_runs=20, min_seconds=0.3)
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert not found.valid
    assert any("other processes" in reason for reason in found.reasons)


def test_one_measurement_at_a_time(tmp_path):
    code = (
        "import sys, time; from latency.device import alone\n"
        "with alone('x'):\n"
        "    open(sys.argv[1], 'a').write('in '); time.sleep(0.3); open(sys.argv[1], 'a').write('out ')\n"
    )
    log = tmp_path / "log"
    running = [subprocess.Popen([sys.executable, "-c", code, str(log)]) for _ in range(3)]
    assert [process.wait() for process in running] == [0] * 3
    assert log.read_text() == "in out " * 3


def test_waiting_for_a_device_ends():
    from latency.device import alone

    with alone("y"), pytest.raises(latency.RunError, match="in use by another measurement"):  # noqa: SIM117
        with alone("y", seconds=0.1):
            pass
