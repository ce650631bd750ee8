"""A search on real photographs, from an image folder to a network rebuilt by what was exported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.nas.processes import run

CIFAR10 = os.environ.get("NAS_CIFAR10")


@pytest.mark.skipif(not CIFAR10, reason="set NAS_CIFAR10 to a folder with CIFAR-10 as train/<class>/*.jpg")
def test_from_photographs_to_a_network_that_runs_alone(tmp_path: Path) -> None:
    import onnxruntime

    out, net = tmp_path / "run", tmp_path / "net"
    found = run(
        *("search", "--target-ms", "5", "--resolution", "32", "--data", str(CIFAR10), "--device", "cpu"),
        *(
            "--proxy-samples",
            "300",
            "--epochs",
            "1",
            "--trials",
            "3",
            "--confirm",
            "0",
            "--out",
            str(out),
            "--json",
        ),
    )
    assert found.returncode == 0, found.stderr
    best = json.loads(found.stdout)
    assert best["architecture"]["classes"] == 10
    assert best["architecture"]["resolution"] == 32
    assert best["found"]["proxy"]["train_images"] == 300
    exported = run("export", str(out), "--format", "onnx,torch", "--out", str(net))
    assert exported.returncode == 0, exported.stderr

    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "import torch; from model import load\n"
        "net, x = load(), torch.linspace(-2, 2, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)\n"
        "torch.onnx.export(net, (x,), 'again.onnx', dynamo=True, verbose=False, external_data=False)\n"
        "print(net(x).tolist())"
    )
    alone = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", code],
        cwd=net,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = np.array(json.loads(alone.stdout.splitlines()[-1]))
    images = np.linspace(-2, 2, 2 * 3 * 32 * 32, dtype=np.float32).reshape(2, 3, 32, 32)
    for name, feed in (("again.onnx", None), ("model.onnx", "input")):
        session = onnxruntime.InferenceSession(str(net / name), providers=["CPUExecutionProvider"])
        logits = session.run(None, {feed or session.get_inputs()[0].name: images})[0]
        assert np.abs(logits - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())
