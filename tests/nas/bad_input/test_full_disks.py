"""A full disk: one line that says so, and nothing that was finished is lost."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from candidates import Architecture
from tests.nas.bad_input.conftest import NEW


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
