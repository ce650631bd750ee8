"""The arm64 build of our runner, under qemu: proves that it is right, and says nothing of speed."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from candidates import zoo
from candidates.onnx_writer import onnx_model
from latency import build_runner
from latency.runner_output import parse

WHEEL = os.environ.get("NAS_ORT_ARM64")
CPUINFO = """\
processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1
"""

pytestmark = pytest.mark.skipif(not WHEEL, reason="NAS_ORT_ARM64 names no aarch64 wheel of onnxruntime")


def test_the_arm64_runner_gives_the_same_outputs(tmp_path):
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    assert compiler, "NAS_ORT_ARM64 is set, and aarch64-linux-gnu-gcc is not installed"
    assert qemu, "NAS_ORT_ARM64 is set, and qemu-aarch64-static is not installed"
    runner = build_runner.build(compiler, Path(WHEEL))
    assert runner.parent.name == "linux-aarch64"
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    (root / "lib").symlink_to("/usr/aarch64-linux-gnu/lib")
    (root / "proc" / "cpuinfo").write_text(CPUINFO)  # without one, ONNX Runtime's detection crashes
    arch = zoo.load("mnasnet-small").scaled(resolution=64)
    model = tmp_path / "model.onnx"
    model.write_bytes(onnx_model(arch).SerializeToString())
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64), dtype=np.float32)
    (tmp_path / "in").write_bytes(image.tobytes())
    command = [qemu, "-L", root, runner, runner.parent / "libonnxruntime.so", model]
    command += ["--min-runs", "1", "--min-ms", "0", "--input", tmp_path / "in", "--output", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert parse(done.stdout).times_ms
    session = onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"input": image})[0][0]
    outputs = np.frombuffer((tmp_path / "out").read_bytes(), np.float32)
    assert np.allclose(outputs, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))
